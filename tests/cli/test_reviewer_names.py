"""The name of a reviewer that was given none."""

from __future__ import annotations

import pytest

from mendloop.cli.plan import name_of

MADE_UP = "ghp_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("pytest", "pytest"),
        (" ruff check --output-format sarif . ", "ruff check --output-format sarif ."),
        ("./check.sh a=b", "./check.sh a=b"),
    ],
)
def test_a_short_command_is_its_own_name(command: str, name: str) -> None:
    """What can be read as it is names the reviewer as it is."""
    assert name == name_of(command)


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("npx eslint -f @microsoft/eslint-formatter-sarif src", "npx eslint -f @microsoft/eslint~"),
        ("LANG=C sh -c 'exit 0'", "sh -c 'exit 0'~"),
        ("a  b", "a b~"),
        ("a\nb", "a b~"),
        ("a b~c", "a b~c~"),
        (f"{'x' * 30} y {'z' * 30}", f"{'x' * 30}~"),
        ("A=1", "~"),
        (f"check {MADE_UP}", "check [redacted: github token]~"),
        (f"check --config {'x' * 12} {MADE_UP}", "check --config xxxxxxxxxxxx [re~"),
    ],
)
def test_what_is_left_out_of_a_name_still_counts(command: str, start: str) -> None:
    """A long or an odd command is cut to its first words; a digest of all of it is added."""
    name = name_of(command)

    assert start == name[:-8]
    assert len(name) <= 40
    assert name == name_of(command)
    assert name[-8:] != name_of(f"{command} more")[-8:]


def test_no_two_commands_have_one_name() -> None:
    """What differs only in what a name leaves out has two names."""
    commands = [
        *("ruff check", "ruff  check", "ruff-check", "ruff 'check'", "A=1 ruff check"),
        *("A=2 ruff check", "ruff check\t", "ruff\tcheck", "ruff check~", "./ruff check"),
        *(f"tool {'x' * 40} {number}" for number in range(100)),
    ]

    assert len(commands) - 1 == len({name_of(command) for command in commands})
    assert name_of("ruff check") == name_of("ruff check\t")
