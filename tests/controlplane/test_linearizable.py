"""Two checkers, written apart, tell histories that an object could have told from those it could not."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from linearizable import goes_back, why_not

from controlplane import Judge, Operation

_KINDS = ("increment", "append", "read", "look")
any_seed = st.integers(0, 2**32 - 1)
with_judge = settings(suppress_health_check=list(HealthCheck))


def schedule(
    dice: random.Random,
    *,
    processes: int = 4,
    turns: int = 12,
    unknown: float = 0.0,
    second_counts: int = 1,
) -> list[Operation]:
    """
    What the clients of an object see: each operation takes effect between call and return.

    The object is a real one if its second increment counts once.
    """
    pending = []
    for process in range(processes):
        now = dice.randrange(50)
        for _ in range(turns):
            call = now
            effect = call + dice.randrange(1, 60)
            returned: int | None = effect + dice.randrange(1, 60)
            now = effect + dice.randrange(60, 90)
            if dice.random() < unknown:
                returned = None
                effect += dice.choice((0, 10_000))
            pending.append((effect, dice.random(), process, dice.choice(_KINDS), call, returned))
    number = findings = increments = 0
    history = []
    for _, chance, process, kind, call, returned in sorted(pending):
        is_never = returned is None and chance < 0.3
        increments += kind == "increment"
        if kind == "increment" and not is_never:
            number += second_counts if increments == 2 else 1
        findings += kind == "append" and not is_never
        told = {"read": number, "increment": number, "look": (number, findings), "append": findings}
        history.append(
            Operation(
                op=kind,
                call=call,
                returned=returned,
                result=None if returned is None else told[kind],
                process=str(process),
            )
        )
    return dice.sample(history, len(history))


@with_judge
@given(any_seed, st.sampled_from([0.0, 0.1, 0.4]))
def test_what_an_object_told_is_accepted(judge: Judge, seed: int, unknown: float) -> None:
    """However the clients of a real object overlap, and whatever answers they never get."""
    history = schedule(random.Random(seed), unknown=unknown)

    assert "" == why_not(history)
    assert "" == judge(history)


@with_judge
@given(any_seed)
def test_a_lost_update_is_refused(judge: Judge, seed: int) -> None:
    """Two increments that read one number and wrote the same next one are found out."""
    history = schedule(random.Random(seed), second_counts=0)

    assert why_not(history)
    assert judge(history)


@with_judge
@given(any_seed)
def test_a_doubled_increment_is_refused(judge: Judge, seed: int) -> None:
    """An increment that was acknowledged once and counted twice is found out."""
    history = schedule(random.Random(seed), second_counts=2)

    assert why_not(history)
    assert judge(history)


@with_judge
@given(any_seed, st.sampled_from(["read", "look"]), st.booleans())
def test_a_stale_fresh_read_is_refused(judge: Judge, seed: int, op: str, is_findings: bool) -> None:
    """A read that began after an answer and does not know it is found out."""
    history = schedule(random.Random(seed))
    end = max(operation.returned or 0 for operation in history)
    number = sum(operation.op == "increment" for operation in history)
    findings = sum(operation.op == "append" for operation in history)
    history += [
        Operation(op="increment", call=end + 1, returned=end + 2, result=number + 1),
        Operation(op="append", call=end + 1, returned=end + 2),
    ]
    old = (number + is_findings, findings + 1 - is_findings) if op == "look" else number
    history.append(Operation(op=op, call=end + 3, returned=end + 4, result=old))

    assert why_not(history)
    assert judge(history)
    assert "" == why_not(history[:-1])


@with_judge
@given(any_seed)
def test_a_doubled_or_lost_finding_is_refused(judge: Judge, seed: int) -> None:
    """A look afterwards tells one finding too many or too few."""
    history = schedule(random.Random(seed))
    end = max(operation.returned or 0 for operation in history)
    number = sum(operation.op == "increment" for operation in history)
    findings = sum(operation.op == "append" for operation in history)
    for told in (findings - 1, findings + 1):
        look = Operation(op="look", call=end + 1, returned=end + 2, result=(number, told))

        assert why_not([*history, look])
        assert judge([*history, look])


_NUMBERS = st.integers(0, 2)
_ANSWERS = {
    "read": _NUMBERS,
    "increment": _NUMBERS,
    "look": st.tuples(_NUMBERS, _NUMBERS),
    "append": st.none() | _NUMBERS,
    "write": st.none(),
    "cas": st.booleans(),
}


@st.composite
def any_operation(draw: st.DrawFn) -> Operation:
    """Anything that one could claim to have seen."""
    op = draw(st.sampled_from(list(_ANSWERS)))
    call = draw(st.integers(0, 6))
    returned = draw(st.none() | st.integers(call, 8))
    return Operation(
        op=op,
        call=call,
        returned=returned,
        value=draw(_NUMBERS) if op in {"write", "cas"} else None,
        expected=draw(_NUMBERS) if op == "cas" else None,
        result=None if returned is None else draw(_ANSWERS[op]),
        key=draw(st.sampled_from(["", "b"])),
    )


def has_an_order(history: list[Operation]) -> bool:
    """Try every order of every choice of those that were never answered."""
    known = [o for o in history if o.returned is not None]
    unknown = [o for o in history if o.returned is None]
    return any(
        _fits(order)
        for count in range(len(unknown) + 1)
        for done in itertools.combinations(unknown, count)
        for order in itertools.permutations([*known, *done])
    )


def _fits(order: tuple[Operation, ...]) -> bool:
    number = findings = latest_call = 0
    for operation in order:
        latest_call = max(latest_call, operation.call)
        if operation.returned is not None and operation.returned < latest_call:
            return False
        told: object = None
        if operation.op == "increment":
            told = number = number + 1
        elif operation.op == "append":
            findings += 1
            told = None if operation.result is None else findings
        elif operation.op == "write":
            number = operation.value or 0
        elif operation.op == "cas":
            told = number == operation.expected
            number = (operation.value or 0) if told else number
        else:
            told = number if operation.op == "read" else (number, findings)
        if operation.returned is not None and told != operation.result:
            return False
    return True


@with_judge
@given(st.lists(any_operation(), max_size=5))
@example([Operation(op="increment", call=5), Operation(op="read", call=1, returned=4, result=1)])
@example(
    [
        Operation(op="increment", call=4, returned=8, result=1),
        Operation(op="read", call=1, returned=4, result=1),
    ]
)
@example([Operation(op="increment", call=4), Operation(op="read", call=1, returned=4, result=1)])
def test_the_verdict_is_that_of_every_order_tried(judge: Judge, history: list[Operation]) -> None:
    """On whatever is claimed both checkers say what trying all orders says."""
    by_key = [[o for o in history if o.key == key] for key in ("", "b")]
    expected = all(map(has_an_order, by_key))

    assert expected == (not why_not(history))
    assert expected == (not judge(history))


@with_judge
@given(any_seed, st.integers(1, 3))
def test_both_checkers_agree_on_what_was_tampered_with(
    judge: Judge, seed: int, changes: int
) -> None:
    """Results that were moved by one somewhere are judged alike, right or wrong."""
    dice = random.Random(seed)
    history = schedule(dice, turns=8, unknown=0.1)
    for _ in range(changes):
        place = dice.randrange(len(history))
        match history[place].result:
            case int(number):
                changed: int | tuple[int, int] = number + dice.choice((-1, 1))
            case (number, findings):
                changed = number + dice.choice((-1, 0, 1)), findings + dice.choice((-1, 0, 1))
            case _:
                continue
        history[place] = msgspec.structs.replace(history[place], result=changed)

    assert bool(why_not(history)) == bool(judge(history))


def test_many_lost_answers_and_long_histories_are_judged_soon(
    scaled: Callable[[int, int], int],
) -> None:
    """Forty increments without an answer do not multiply, and thousands of answers are no trouble."""
    lost = [Operation(op="increment", call=place) for place in range(40)]
    began = time.monotonic()
    for number, is_right in ((0, True), (40, True), (41, False)):
        history = [*lost, Operation(op="read", call=100, returned=101, result=number)]
        assert is_right == (not why_not(history))
    history = schedule(random.Random(1), processes=8, turns=scaled(1000, 300), unknown=0.01)
    assert "" == why_not(history)

    assert time.monotonic() - began < scaled(60, 10)


def test_what_has_no_place_is_named() -> None:
    """The words tell how far an order goes and which answer does not fit."""
    history = [
        Operation(op="increment", call=1, returned=2, result=1, key="t"),
        Operation(op="append", call=3, returned=4, key="t"),
        Operation(op="look", call=5, returned=6, result=(1, 0), key="t"),
    ]

    expected = (
        'key "t": no order fits; 2 of 3 operations lead to (1, 1), and then there is no place for '
        '{"op":"look","call":5,"return":6,"result":[1,0],"key":"t"}'
    )
    assert expected == why_not(history)


def _op(op: str, call: int, result: object, process: str = "p") -> Operation:
    return Operation(op=op, call=call, returned=call + 5, result=result, process=process)


@pytest.mark.parametrize(
    ("history", "is_right"),
    [
        ([_op("look", 0, (1, 1)), _op("look", 10, (1, 1)), _op("look", 20, (2, 1))], True),
        ([_op("look", 0, (2, 1)), _op("look", 10, (1, 1))], False),
        ([_op("look", 0, (1, 2)), _op("look", 10, (1, 1))], False),
        ([_op("look", 0, (2, 1)), _op("look", 10, (1, 1), "q")], True),
        ([_op("increment", 0, 3), _op("read", 10, 2)], False),
        ([_op("append", 0, 3), _op("look", 10, (0, 2))], False),
        ([_op("increment", 0, 3), _op("read", 5, 2)], True),
        ([_op("increment", 0, 3), _op("append", 10, 1), _op("look", 20, (3, 1))], True),
    ],
)
def test_a_cached_read_may_be_old_but_not_older_than_before(
    history: list[Operation], *, is_right: bool
) -> None:
    """A process never sees less than it saw or made before; another one may."""
    assert is_right == (not goes_back(history))
