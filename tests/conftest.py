"""What every test shares: Hypothesis profiles, the scale of the figures, and the support folder."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

# Who starts the tests in the background has SIGINT ignored, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Test folders are no packages: what several of them share is imported from here by its name.
sys.path.insert(0, str(Path(__file__).with_name("support")))

from audited import check_files  # noqa: E402 - it is in that folder

pytest_plugins = ["controlplane.plugin", "fault_proxy.plugin"]

_IS_SOAK = bool(int(os.environ.get("MENDLOOP_SOAK", "0")))
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=50,
    suppress_health_check=_SLOW_IS_FINE,
    print_blob=True,
)
settings.register_profile(
    "soak",
    deadline=None,
    database=None,
    max_examples=1000,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=_SLOW_IS_FINE,
    print_blob=True,
)
settings.load_profile("soak" if _IS_SOAK else "ci")


@pytest.fixture(scope="session")
def scaled() -> Callable[[int, int], int]:
    """Choose a figure: the first in a soak, the second otherwise."""
    return lambda full, quick: full if _IS_SOAK else quick


@pytest.fixture(autouse=True)
def sound_files(request: pytest.FixtureRequest) -> Iterator[None]:
    """See that each SQLite file in the test's folder is sound when all that used it has ended."""
    if "tmp_path" not in request.fixturenames:
        yield
        return
    folder: Path = request.getfixturevalue("tmp_path")
    yield
    check_files(request, folder)
