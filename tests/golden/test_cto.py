"""
States of the 5dlabs/cto controller are read, whatever they hold, and nothing in them is lost.

The files are laid out as `kubectl get configmap -o yaml` prints what that controller writes;
expected/ holds what becomes of each.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_user import Done

from mendloop.cli.main import run
from mendloop.core.codec import encode_state
from mendloop.core.cto import NAME_PREFIX, from_cto
from mendloop.core.errors import StateError
from mendloop.core.text import DESCRIPTION_LIMIT_BYTES, redact_secrets
from mendloop.core.vocabulary import Phase, Status, StopReason
from mendloop.intake.kubectl_dump import configmaps
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

HERE = Path(__file__).parent / "cto"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = sorted(path.stem for path in HERE.glob("*.yaml"))


def read(name: str) -> list[tuple[str, dict[str, str]]]:
    """The ConfigMaps in a golden file."""
    return list(configmaps((HERE / name).read_bytes(), prefix=NAME_PREFIX))


@pytest.mark.parametrize("name", GOOD)
def test_a_state_becomes_what_it_became(name: str) -> None:
    """Each field is where it was before, so that nobody who imports again is surprised."""
    [(item, data)] = read(f"{name}.yaml")
    made = from_cto(item, data, now=NOW, redact=redact_secrets)

    expected = json.loads((HERE / "expected" / f"{name}.json").read_bytes())
    assert expected == json.loads(encode_state(made))


def _texts(value: Any) -> list[str]:
    """Every text and number in a JSON value, and every key of what may hold any key."""
    if isinstance(value, dict):
        return [text for member in value.values() for text in _texts(member)]
    if isinstance(value, list):
        return [text for member in value for text in _texts(member)]
    return [] if value is None else [value if isinstance(value, str) else json.dumps(value)]


@pytest.mark.parametrize("name", GOOD)
def test_nothing_in_a_state_is_lost(name: str) -> None:
    """Every text and number that was in the ConfigMap stands in the imported state somewhere."""
    [(item, data)] = read(f"{name}.yaml")
    made = from_cto(item, data, now=NOW, redact=redact_secrets)
    metadata = "".join(made.metadata.values())
    kept = metadata + "".join(_texts(json.loads(encode_state(made))))
    whole = metadata
    for number, found in enumerate(made.feedback_history, 1):
        rest = f"cto_feedback_{number}"
        pieces = [text for key, text in made.metadata.items() if f"{key}_".startswith(f"{rest}_")]
        whole += "".join([found.description, *pieces])

    for text in _texts(json.loads(data["state.json"])) + list(data.values())[1:]:
        escaped = json.dumps(text, ensure_ascii=False)[1:-1]
        assert text in kept or escaped in kept or text.strip() in whole, text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("waiting-for-feedback", (Status.IN_PROGRESS, Phase.REVIEWING, None)),
        ("in-progress", (Status.IN_PROGRESS, Phase.REVIEWING, None)),
        ("waiting-for-agent", (Status.IN_PROGRESS, Phase.FIXING, None)),
        ("completed", (Status.COMPLETED, None, StopReason.COMPLETED)),
        ("failed", (Status.FAILED, None, StopReason.STEP_FAILED)),
        ("terminated", (Status.FAILED, Phase.TERMINATED, StopReason.TERMINATED)),
        ("paused", (Status.IN_PROGRESS, Phase.PAUSED, None)),
        ("bare", (Status.INITIALIZED, None, None)),
        ("extra-keys", (Status.MAX_ITERATIONS_REACHED, None, StopReason.MAX_ITERATIONS)),
    ],
)
async def test_a_status_is_what_the_table_says(
    tmp_path: Path, name: str, expected: tuple[Any, ...]
) -> None:
    """Stored through the manager, with the phase and the reason that belong to it."""
    [(item, data)] = read(f"{name}.yaml")
    made = from_cto(item, data, now=NOW, redact=redact_secrets)
    store = await open_sqlite(tmp_path / "state.db")
    async with StateManager(store) as manager:
        await manager.create_or_update_state(made)
        stored = await manager.require_state(made.task_id)
    await store.close()

    ledger = stored.ledger
    assert expected == (stored.status, ledger.phase, ledger.stop_reason)
    assert (made.iteration, made.metadata) == (stored.iteration, stored.metadata)
    told = [(e.pr_comment_id, e.description, e.resolved) for e in made.feedback_history]
    assert told == [(e.pr_comment_id, e.description, e.resolved) for e in stored.feedback_history]


@pytest.mark.parametrize(
    ("iteration", "status"),
    [(2, Status.IN_PROGRESS), (3, Status.IN_PROGRESS), (4, Status.MAX_ITERATIONS_REACHED)],
)
def test_the_last_iteration_of_a_limit_is_still_going_on(iteration: int, status: Status) -> None:
    """Only beyond its limit a task that was under way has reached it."""
    given = {"status": "InProgress", "iteration": iteration, "max_iterations": 3}
    data = {"state.json": json.dumps(given)}
    made = from_cto(f"{NAME_PREFIX}pr-1-task-2", data, now=NOW, redact=redact_secrets)

    assert status is made.status


def test_a_long_text_is_divided_between_characters() -> None:
    """Every key holds whole ones, and all of them together are the text."""
    text = "x" + "\u00e9" * 5000
    given = {"status": "InProgress", "workflow_id": text}
    made = from_cto(
        f"{NAME_PREFIX}pr-1-task-2",
        {"state.json": json.dumps(given)},
        now=NOW,
        redact=redact_secrets,
    )
    pieces = [piece for key, piece in made.metadata.items() if key.startswith("cto_workflow_id")]

    assert len(pieces) > 1
    assert text == "".join(pieces)


@pytest.mark.parametrize("before", [0, DESCRIPTION_LIMIT_BYTES - 20])
def test_no_secret_comes_in_with_a_finding(before: int) -> None:
    """Not whole, and not in two parts where a long description is divided."""
    secret = "ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX"
    description = "words " * (before // 6) + secret
    given = {
        "status": "InProgress",
        "feedback_history": [{"id": "f1", "feedback": {"description": description}}],
    }
    made = from_cto(
        f"{NAME_PREFIX}pr-1-task-2",
        {"state.json": json.dumps(given)},
        now=NOW,
        redact=redact_secrets,
    )
    written = encode_state(made)

    assert secret[:12].encode() not in written
    assert secret[-12:].encode() not in written


@pytest.fixture
def imported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    """Import a golden file by the command line."""

    def call(*arguments: str) -> Done:
        code = run([*arguments, "--store", f"sqlite:{tmp_path / 'state.db'}", "-o", "json"])
        return Done(code, *capfd.readouterr())

    return call


def test_damaged_ones_are_named_and_stop_no_other(imported: Any) -> None:
    """Each is told with its ConfigMap and what is wrong; the good one among them is imported."""
    done = imported("import", "--from", "cto", str(HERE / "damaged.json"))
    said = [json.loads(line)["message"] for line in done.err.splitlines()[1::2]]

    assert 12 == done.code
    assert ["pr-330-task-40"] == done.json()["created"]
    assert 9 == len(done.json()["refused"]) == len(said)
    wrong = [
        "task-41: its state.json is no JSON",
        "task-42: it has no state.json",
        "task-43: its state.json is no object",
        "task-44: its task_id is '41', and not '44'",
        "task-45: the status 'Dreaming' is not known",
        "task-46: its iteration -1 is no count",
        "task-47: a key of its state.json stands twice",
        "remediation-state-leader: not the name",
        "task id of ",
    ]
    for expected, message in zip(wrong, said, strict=True):
        assert expected in message


def test_a_task_that_is_there_is_left_as_it_is(imported: Any) -> None:
    """The same again is there already; another under the same id is refused, byte for byte."""
    file = str(HERE / "in-progress.yaml")
    assert ["pr-312-task-15"] == imported("import", "--from", "cto", file).json()["created"]
    assert ["pr-312-task-15"] == imported("import", "--from", "cto", file).json()["present"]
    imported("increment", "pr-313-task-16")
    before = imported("show", "pr-313-task-16").out
    done = imported("import", "--from", "cto", str(HERE / "waiting-for-agent.yaml"))

    assert 11 == done.code
    assert "task pr-313-task-16 is there already" in done.err
    assert before == imported("show", "pr-313-task-16").out


@pytest.mark.parametrize("content", [b"", b"\x00", b"- 1", b"[1]", b"kind: Pod\n", b"a: b: c"])
def test_what_is_no_dump_is_refused(imported: Any, tmp_path: Path, content: bytes) -> None:
    """A file that holds no such ConfigMap is not taken for one without tasks."""
    (tmp_path / "dump").write_bytes(content)
    assert 11 == imported("import", "--from", "cto", str(tmp_path / "dump")).code


@pytest.mark.parametrize("name", GOOD)
def test_any_member_may_be_anything(name: str) -> None:
    """Whatever stands in a member, the state is made and can be written, or is refused in words."""
    [(item, data)] = read(f"{name}.yaml")
    given = json.loads(data["state.json"])
    odd: list[Any] = [None, 0, -1, 1.5, True, "", "\ud800", [], {}, [[]], {"a": [None]}, 10**30]
    places = [given, *(given["feedback_history"][:1])]
    places += [place["feedback"] for place in places[1:]]
    for place in places:
        for key in list(place):
            for value in odd:
                before, place[key] = place[key], value
                changed = data | {"state.json": json.dumps(given)}
                place[key] = before
                try:
                    made = from_cto(item, changed, now=NOW, redact=redact_secrets)
                except StateError:
                    continue
                assert msgspec.json.decode(encode_state(made))
