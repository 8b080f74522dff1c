"""A person with kubectl and mendloop work on the same objects, and neither breaks the other."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from configmaps import Others
from crew import open_spec
from opened import opened
from patience import eventually
from states import entry

from controlplane import Cluster
from mendloop.core.errors import DeserializationError
from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager
from mendloop.stores.port import Store

NAME = head_name("t")
OURS = "state-manager"


class Person(Others):
    """Somebody who changes a ConfigMap by hand."""

    def put(self, **data: str | None) -> None:
        self.merge(NAME, data=data)

    def edit_state(self, **members: Any) -> None:
        self.put(**{"state.json": json.dumps(self.state() | members)})

    def state(self) -> Any:
        return json.loads(self.read(NAME)["data"]["state.json"])


@pytest.fixture
def person(control_plane: Cluster, namespace: str) -> Person:
    """Somebody with kubectl in the test's namespace."""
    return Person(control_plane, namespace)


@pytest.fixture
async def store(direct: str) -> AsyncIterator[Store]:
    """A store that watches, as that of a controller."""
    async with opened(open_spec) as open_store:
        yield await open_store(direct)


@pytest.fixture
async def manager(store: Store) -> AsyncIterator[StateManager]:
    """A manager whose cache knows the task; it stands at iteration 1."""
    async with StateManager(store, by="ann") as manager:
        await manager.increment_iteration("t", max_iterations=1000)
        await eventually(lambda: manager.cached_state("t") is not None)
        yield manager


async def doings(manager: StateManager) -> list[str]:
    state = await manager.get_state("t")
    assert state is not None
    return [change.do async for commit in manager.commits(state) for change in commit.changes]


def manifest(**data: str) -> str:
    return json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": data}
    )


def by_label(person: Person) -> None:
    person.kubectl("label", "configmap", NAME, "owner=ann", "--overwrite")


def by_annotate(person: Person) -> None:
    person.kubectl("annotate", "configmap", NAME, "owner=ann", "--overwrite")


def by_patch(person: Person) -> None:
    person.put(owner="ann")


def by_apply(person: Person) -> None:
    person.kubectl("apply", "-f", "-", stdin=manifest(owner="ann"))


def by_server_side_apply(person: Person) -> None:
    arguments = ("apply", "--server-side", "--field-manager=ann", "-f", "-")
    person.kubectl(*arguments, stdin=manifest(owner="ann"))


def by_replace(person: Person) -> None:
    whole = person.read(NAME)
    whole["data"]["owner"] = "ann"
    whole["metadata"]["labels"]["owner"] = "ann"
    person.kubectl("replace", "-f", "-", stdin=json.dumps(whole))


def by_edit(person: Person) -> None:
    # kubectl opens an editor on YAML; this one adds an annotation, and changes it the next time.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBE_EDITOR", r"sed -i 's/^  annotations:/&\n    owner: ann/'")
        person.kubectl("edit", "configmap", NAME)


def marks(person: Person) -> dict[str, str]:
    """What the person has put in, by where it is."""
    found = person.read(NAME)
    places = {
        "label": found["metadata"]["labels"],
        "annotation": found["metadata"]["annotations"],
        "data": found["data"],
    }
    return {place: held["owner"] for place, held in places.items() if "owner" in held}


_TOUCHES = (by_label, by_annotate, by_patch, by_apply, by_server_side_apply, by_replace, by_edit)


@pytest.mark.parametrize("touch", _TOUCHES, ids=lambda touch: touch.__name__)
async def test_what_a_person_adds_stays_and_disturbs_nobody(
    manager: StateManager, person: Person, touch: Callable[[Person], None]
) -> None:
    """A mark beside the state survives our writes, ours survives the person's, and both go on."""
    touch(person)
    made = marks(person)
    assert made
    assert 2 == await manager.increment_iteration("t")
    assert made == marks(person)
    if touch is not by_edit:
        touch(person)
    await manager.append_feedback("t", entry("c1"))
    assert 3 == await manager.increment_iteration("t")

    metadata, data = person.read(NAME)["metadata"], person.read(NAME)["data"]
    assert made == marks(person)
    assert ("remediation-state", "t") == (metadata["labels"]["app"], metadata["labels"]["task-id"])
    assert ("3", "t") == (data["iteration"], data["task_id"])
    assert ["increment", "increment", "append_feedback", "increment"] == await doings(manager)


@pytest.mark.parametrize("touch", _TOUCHES, ids=lambda touch: touch.__name__)
async def test_what_a_person_adds_is_the_persons_to_take_away(
    manager: StateManager, person: Person, touch: Callable[[Person], None]
) -> None:
    """Our writes take no mark over, and bring none back."""
    touch(person)
    assert 2 == await manager.increment_iteration("t")
    ours = [e for e in person.read(NAME)["metadata"]["managedFields"] if e["manager"] == OURS]
    gone = {"owner": None}
    person.merge(NAME, data=gone, metadata={"labels": gone, "annotations": gone})
    assert 3 == await manager.increment_iteration("t")

    assert ours
    assert "f:owner" not in json.dumps(ours)
    assert {} == marks(person)


@pytest.mark.other_hands
@pytest.mark.parametrize("is_seen", [False, True], ids=["unseen", "seen by the watch"])
async def test_an_edit_of_the_state_is_taken_over_and_named(
    manager: StateManager, person: Person, *, is_seen: bool
) -> None:
    """A number raised by hand counts on from there, and the history says once that it was."""
    person.edit_state(iteration=6, metadata={"owner": "ann"})
    if is_seen:
        await eventually(lambda: getattr(manager.cached_state("t"), "iteration", 0) == 6)
    assert 7 == await manager.increment_iteration("t")
    assert 8 == await manager.increment_iteration("t")

    assert ["increment", "change_outside", "increment", "increment"] == await doings(manager)
    assert "ann" == person.state()["metadata"]["owner"]


@pytest.mark.other_hands
async def test_a_state_that_a_person_owns_by_now_is_ours_to_write(
    manager: StateManager, person: Person
) -> None:
    """Who applied a whole state under another name is a conflict for the next to apply, not for us."""
    state = json.dumps(person.state() | {"iteration": 4})
    take = ("apply", "--server-side", "--field-manager=ann", "--force-conflicts", "-f", "-")
    person.kubectl(*take, stdin=manifest(**{"state.json": state}))

    assert 5 == await manager.increment_iteration("t")
    assert ["increment", "change_outside", "increment"] == await doings(manager)


_DAMAGE: dict[str, Callable[[Any], str | None]] = {
    "cut": lambda state: json.dumps(state)[:-20],
    "words": lambda _: "done by hand, ann",
    "empty": lambda _: "",
    "another": lambda _: '{"kind": "ConfigMap"}',
    "lowered": lambda state: json.dumps(state | {"iteration": 0}),
    "absent": lambda _: None,
}


@pytest.mark.parametrize("damage", _DAMAGE.values(), ids=_DAMAGE.keys())
@pytest.mark.parametrize("is_seen", [False, True], ids=["unseen", "seen by the watch"])
@pytest.mark.damages
async def test_a_bad_edit_is_copied_aside_and_left(
    store: Store,
    manager: StateManager,
    person: Person,
    damage: Callable[[Any], str | None],
    *,
    is_seen: bool,
) -> None:
    """What cannot be read, or lowers the counter, stays byte for byte, with a copy of it."""
    text = damage(person.state())
    person.put(**{"state.json": text})
    before, body = person.read(NAME), (text or "").encode()
    if is_seen:
        await eventually(lambda: getattr(store.peek(HEAD, NAME), "body", None) == body)
    for _ in range(2):
        with pytest.raises(DeserializationError, match=r"kept as quarantine\.task-t-") as refused:
            await manager.increment_iteration("t")
    with pytest.raises(DeserializationError):
        await manager.append_feedback("t", entry("c1"))

    [copy] = await manager.list_copies("t")
    kept = person.read(copy.name)
    beside = {name: text for name, text in before["data"].items() if name != "state.json"}
    assert before == person.read(NAME)
    assert copy.name in str(refused.value)
    assert body == base64.b64decode(kept["binaryData"].get("body", ""))
    assert {"data": beside} == json.loads(kept["data"]["beside"])


async def test_a_mended_state_goes_on(manager: StateManager, person: Person) -> None:
    """Once the person has put the state right, the next number is the next one."""
    good = person.read(NAME)["data"]["state.json"]
    person.put(**{"state.json": "{"})
    with pytest.raises(DeserializationError):
        await manager.increment_iteration("t")
    person.put(**{"state.json": good})

    assert 2 == await manager.increment_iteration("t")
    assert ["increment", "increment"] == await doings(manager)
