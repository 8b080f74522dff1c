"""`mendloop init`, `schema` and `completion`."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
from cli_user import Quick, User

from mendloop.config import Config, parse_duration, read_config
from mendloop.core.errors import ValidationError


def _tool(user: User, name: str) -> None:
    folder = user.folder / "bin"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


@pytest.fixture
def bare(user: User, monkeypatch: pytest.MonkeyPatch) -> User:
    """A user with no tools in PATH but those that a test makes."""
    user.environment["PATH"] = f"{user.folder / 'bin'}:/usr/bin:/bin"
    return user


def test_init_writes_what_run_reads(bare: User) -> None:
    """Reviewers are those whose tool and whose files are both there; the fixer is an agent."""
    for name in ("ruff", "pytest", "eslint", "claude"):
        _tool(bare, name)
    bare.write("pyproject.toml", "")
    bare.write("test_one.py", "")
    done = bare("init")
    config = read_config(bare.tree)

    assert 0 == done.code
    assert ["ruff", "pytest"] == [review.name for review in config.review]
    assert "tree" == config.task
    assert str(config.loop.fix).startswith("claude -p ")
    assert "reviewers: ruff, pytest" in done.out
    assert 7 < (bare.tree / "mendloop.toml").read_text().count("# ")


def test_init_leaves_a_file_as_it_is(bare: User) -> None:
    """A second init is refused."""
    path = bare.write("mendloop.toml", "task = 'mine'\n")
    done = bare("init")

    assert 11 == done.code
    assert "exists already" in done.err
    assert "task = 'mine'\n" == path.read_text()


def test_init_in_an_empty_folder_names_nothing_that_is_not_there(bare: User) -> None:
    """Without tools the file shows how they are written; until then a run says what is missing."""
    done = bare("init")
    path = bare.tree / "mendloop.toml"

    assert 0 == done.code
    assert "reviewers: none found, write your own into it" in done.out
    assert "fixer: none found, write your own into it" in done.out
    assert 2 == bare("run").code
    assert "--review CMD is missing" in bare("run").err
    path.write_text(
        re.sub(
            r"^#(?=fix|\[|name|command|format|timeout)", "", path.read_text(), flags=re.MULTILINE
        )
    )
    content = tomllib.loads(path.read_text())
    assert ["check"] == [review["name"] for review in content["review"]]
    assert "./fix.sh" == content["loop"]["fix"]


def test_a_folder_without_a_file_sets_nothing(tmp_path: Path) -> None:
    """No file is the empty configuration."""
    assert Config() == read_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        (15, 15),
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("2d", 172800),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    """Seconds, or numbers with units from the largest to the smallest."""
    assert seconds == parse_duration(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1x", "m", "1m1h", "nan", "inf", "1 h", "9999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Nonsense, nothing, and more than a year."""
    with pytest.raises(ValidationError, match="is not a duration"):
        parse_duration(text)


def test_what_is_printed_fits_the_schema(todo: User, loop_arguments: tuple[str, ...]) -> None:
    """State, findings and events of a run are valid by the schemas that are printed."""
    events = todo("run", "demo", *loop_arguments, "-o", "json").events()
    schemas = {what: todo("schema", what).json() for what in ("state", "feedback", "events")}
    state = todo.state("demo")

    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(state, schemas["state"])
    for entry in state["feedback_history"]:
        jsonschema.validate(entry, schemas["feedback"])
    for event in events:
        jsonschema.validate(event, schemas["events"])
    assert "__carried__" not in todo("schema", "state").out
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(state | {"status": "Odd"}, schemas["state"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(quick: Quick, shell: str) -> None:
    """Each shell gets a script that calls mendloop back."""
    done = quick("completion", shell)

    assert 0 == done.code
    assert "_MENDLOOP_COMPLETE" in done.out


def test_bash_is_offered_the_commands(user: User) -> None:
    """What the shell asks for is answered, subcommands of feedback among it."""
    asked = {
        "_MENDLOOP_COMPLETE": "bash_complete",
        "COMP_WORDS": "mendloop feedback ",
        "COMP_CWORD": "2",
    }
    done = user(**asked)

    names = ("add", "defer", "dismiss", "list", "reopen", "resolve")
    assert {f"plain,{name}" for name in names} == set(done.out.split())


def test_the_script_is_bash(user: User) -> None:
    """The completion script is free of syntax errors."""
    script = user("completion", "bash").out

    subprocess.run(["bash", "-n"], input=script.encode(), check=True)
