from collections.abc import Callable

import pytest

from mendloop.core.findings import Report
from mendloop.core.text import DESCRIPTION_LIMIT_BYTES, clean

Read = Callable[..., Report]
Names = Callable[[Report], list[str]]


def test_the_whole_output_is_the_description(read: Read) -> None:
    """A short output is kept as it was said."""
    (finding,) = read("\n\nfirst\n  second\n").findings

    assert "first\n  second" == finding.description


def test_a_long_first_line_gets_a_short_title(read: Read) -> None:
    """A listing shows the first line, so a long one is told in short before it."""
    (finding,) = read("x" * 500).findings
    title, _, rest = finding.description.partition("\n\n")

    assert 200 == len(title)
    assert "x" * 500 == rest


def test_both_ends_of_a_long_output_survive_the_cap(read: Read) -> None:
    """The first fault and the summary are both there, with a mark for what is left out."""
    output = "first fault\n" + "noise \x1b[31mred\x1b[0m\n" * 500_000 + "summary: 1 failed\n"
    (finding,) = read(output).findings
    kept = clean(finding.description, limit_bytes=DESCRIPTION_LIMIT_BYTES)

    assert kept.startswith("first fault\n")
    assert kept.endswith("summary: 1 failed")
    assert "left out" in kept


def test_bytes_that_are_not_utf8_are_replaced(read: Read) -> None:
    """Any output is a finding, whatever its encoding."""
    (finding,) = read(b"caf\xe9 \xff\xfe").findings

    assert "caf\ufffd \ufffd\ufffd" == finding.description


def test_times_and_addresses_make_no_new_finding(read: Read, names: Names) -> None:
    """The same failure, told a second later, is the same finding."""
    one = "2026-01-05T10:00:00Z FAILED x at 0x7f01 in 0.12s (pid 41) /tmp/run-1/log 10:00:01"
    two = "2026-01-06T11:10:09Z FAILED x at 0x8e22 in 13.4 s (pid 977) /tmp/run-2/log 11:22:59"

    assert names(read(one)) == names(read(two))


def test_another_output_is_another_finding(read: Read, names: Names) -> None:
    """What failed, and how much of it, tells two outputs apart."""
    outputs = ["FAILED x", "FAILED y", "2 failed", "3 failed"]

    assert 4 == len({name for output in outputs for name in names(read(output))})


@pytest.mark.parametrize("noise", ["x", "\x1b[0m", "a word ", "line\n"], ids=ascii)
def test_no_half_of_a_secret_is_left_where_an_output_is_cut(read: Read, noise: str) -> None:
    """A token that stands where the middle is left out goes whole, wherever the cut is."""
    made_up = "ghp_" + "Aa1" * 12
    for edge in (3840, 61440):
        for shift in range(0, len(made_up) + 5, 4):
            end = noise * ((edge - shift) // len(noise))
            output = f"{end} {made_up} {noise * 70_000} {made_up} {end}"
            (finding,) = read(output).findings

            assert "Aa1" not in finding.description
            assert "ghp_" not in finding.description


def test_no_half_of_a_secret_is_left_in_a_title(read: Read) -> None:
    """A token where the first line is shortened goes whole."""
    made_up = "ghp_" + "Aa1" * 12
    for length in range(160, 200):
        (finding,) = read(f"{'x' * length} {made_up} {'y' * 100}").findings

        assert "ghp_" not in finding.description


def test_no_half_of_a_secret_is_left_in_a_problem(read: Read) -> None:
    """What a report that cannot be read begins with is quoted without secrets."""
    report = read(f"{'x' * 105} ghp_{'Aa1' * 12}", exit_code=0, format="jsonl")
    named = read(f'{{"severity": "{"x" * 30} ghp_{"Aa1" * 12}", "description": "d"}}')

    assert "ghp_" not in report.problem
    assert "ghp_" not in named.findings[0].note
