"""What has to say something says something, whatever door it comes in by."""

from __future__ import annotations

import pytest
from drive import Driver, finding, report
from msgspec.structs import replace

from mendloop.core import commands
from mendloop.core.errors import ValidationError
from mendloop.core.vocabulary import Life

_BLANK = ("", " ", "\n\t ", "\u200b \u2060")


@pytest.mark.parametrize("blank", _BLANK, ids=ascii)
@pytest.mark.parametrize(
    "make",
    [
        lambda reason: commands.Pause(reason=reason),
        lambda reason: commands.Stop(reason=reason),
        lambda reason: commands.Hold(reason=reason),
        lambda reason: commands.Delete(reason=reason),
        lambda reason: commands.Judge(life=Life.VERIFIED, names=("c1",), reason=reason),
    ],
    ids=["pause", "stop", "hold", "delete", "judge"],
)
def test_a_blank_reason_is_refused(make: type[commands.Pause], blank: str) -> None:
    """Nothing is changed where nobody would learn why; with a reason the same is taken."""
    driver = Driver()
    driver.apply(commands.Create())
    driver.append("c1")
    before = driver.state
    with pytest.raises(ValidationError, match="reason"):
        driver.apply(make(blank))
    assert before == driver.state
    assert driver.apply(make("a reason")).is_changed


@pytest.mark.parametrize("blank", [" ", "\n\t "], ids=ascii)
def test_a_blank_comment_id_of_a_person_is_refused(blank: str) -> None:
    """It would name the finding, and nobody could name it; left empty, one is made."""
    driver = Driver()
    driver.apply(commands.Create())
    with pytest.raises(ValidationError, match="comment id"):
        driver.append(blank)
    assert () == driver.state.feedback_history
    driver.append("")
    assert driver.state.feedback_history[0].pr_comment_id.startswith("person:")


def test_a_blank_comment_id_in_a_report_is_none() -> None:
    """A reviewer's finding is not lost for it: it is named by what it says."""
    driver = Driver().start()
    driver.increment()
    driver.review(replace(report(), findings=(finding("a", comment_id="  "),)))
    (entry,) = driver.state.feedback_history
    assert entry.pr_comment_id.startswith("sarif:")
