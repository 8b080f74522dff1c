"""Writing a whole state over that of a program which knows no revisions."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from drive import Driver
from states import NOW, state

from mendloop.core import commands
from mendloop.core.errors import RevisionConflict


def test_a_whole_state_that_another_program_wrote_over_is_refused() -> None:
    """Its time of last change tells; the very one that was read may be written."""
    read = state(error_messages=("read",))
    moved = Driver(msgspec.structs.replace(read, last_update=NOW + timedelta(seconds=1)))
    with pytest.raises(RevisionConflict, match="by another program"):
        moved.apply(commands.PutState(state=read))
    still = Driver(state())
    still.apply(commands.PutState(state=read))

    assert ("read",) == still.state.error_messages
