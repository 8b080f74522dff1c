import msgspec
import pytest

from mendloop.core.findings import RawFinding
from mendloop.core.fingerprint import fingerprint, number_findings
from mendloop.core.vocabulary import IssueType, Severity

FINDING = RawFinding(
    severity=Severity.HIGH,
    issue_type=IssueType.BUG,
    description="`os` imported but unused",
    tool="ruff",
    rule="F401",
    path="src/app.py",
    line=3,
    context="import os",
)


def _changed(**changes: object) -> RawFinding:
    return msgspec.structs.replace(FINDING, **changes)


def _name(finding: RawFinding, *, source: str = "lint", ordinal: int = 0) -> str:
    return fingerprint(finding, source=source, ordinal=ordinal)


def _names(*findings: RawFinding) -> list[str]:
    ordinals = number_findings(findings)
    return [_name(finding, ordinal=o) for finding, o in zip(findings, ordinals, strict=True)]


def test_a_fingerprint_is_the_same_in_every_release() -> None:
    """Stored names must match those of a later version, so the very digits are pinned."""
    assert _name(FINDING) == "bd37b07cd4bea6e96bc76b9b6981345b"


@pytest.mark.parametrize(
    "change",
    [
        {"line": 300},
        {"context": "    import   os  "},
        {"path": "./src//app.py"},
        {"severity": Severity.LOW},
        {"issue_type": IssueType.SECURITY},
        {"note": "the severity was assumed"},
        {"description": "`os` imported  but\nunused"},
    ],
)
def test_what_moves_or_is_judged_anew_keeps_the_name(change: dict[str, object]) -> None:
    """Lines, spacing, spelling of the path and the severity are no part of the name."""
    assert _name(FINDING) == _name(_changed(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"rule": "F811"},
        {"path": "src/other.py"},
        {"tool": "flake8"},
        {"context": "import os  # why"},
        {"description": "`sys` imported but unused"},
        {"identity": "abc"},
    ],
)
def test_different_findings_have_different_names(change: dict[str, object]) -> None:
    """Rule, file, tool, message, the line's text and the tool's own name each tell apart."""
    assert _name(FINDING) != _name(_changed(**change))


def test_two_sources_never_share_a_name() -> None:
    """The same fault, told by two reviewers, is two findings."""
    assert _name(FINDING, source="a") != _name(FINDING, source="b")


def test_parts_do_not_run_into_each_other() -> None:
    """Moving characters from one part into the next gives another name."""
    assert _name(_changed(rule="F4", path="01/x")) != _name(_changed(rule="F401", path="/x"))
    assert _name(_changed(rule="", tool="ruffF401")) != _name(FINDING)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("redefinition of `os` from line 12", "redefinition of `os` from line 14"),
        ("same as lines 3-7", "same as lines 5-9"),
        ("see app.py:12:5: first defined", "see app.py:13:5: first defined"),
        ("at line 3, column 9", "at line 4, column 9"),
    ],
)
def test_a_message_that_names_a_line_survives_a_move(before: str, after: str) -> None:
    """Places within a message are no part of the name."""
    assert _name(_changed(description=before)) == _name(_changed(description=after))


def test_other_numbers_in_a_message_count() -> None:
    """Figures that are no places tell two messages apart."""
    one, two = (_changed(description=f"takes {n} arguments") for n in (3, 4))

    assert _name(one) != _name(two)


def test_the_tools_own_name_outweighs_message_and_context() -> None:
    """Where a tool names its findings, a reworded message is the same finding."""
    reworded = _changed(identity="k=1", description="unused import", context="")

    assert _name(_changed(identity="k=1")) == _name(reworded)


def test_equals_are_numbered_down_the_file() -> None:
    """The order of the report does not matter, only the order of the lines."""
    low, high = _changed(line=9), _changed(line=2)

    assert number_findings([low, high]) == (1, 0)
    assert number_findings([low, _changed(path="b.py")]) == (0, 0)


def test_equal_identities_in_one_file_stay_two_findings() -> None:
    """A tool that names two results the same does not lose one of them."""
    twice = [_changed(identity="same", line=1), _changed(identity="same", line=8)]

    assert len(set(_names(*twice))) == 2


def test_lines_inserted_above_change_no_name() -> None:
    """The names of several equals survive as a set when all of them move."""
    before = [_changed(line=line) for line in (1, 5, 9)]
    after = [_changed(line=line + 40) for line in (1, 5, 9)]

    assert _names(*before) == _names(*after)


def test_lone_surrogates_have_a_name() -> None:
    """A text that is no valid Unicode is named and not refused."""
    assert len(_name(_changed(description="\ud800", identity="\udfff"))) == 32
