from __future__ import annotations

import subprocess

import pytest

from controlplane import Judge, Operation

HISTORY = [
    Operation(op="increment", call=10, returned=50, result=2),
    Operation(op="increment", call=20, returned=60, result=1),
    Operation(op="read", call=70, returned=80, result=2),
    Operation(op="cas", call=70, returned=90, expected=2, value=7, result=True),
    Operation(op="cas", call=70, returned=90, expected=2, value=7, result=False),
    Operation(op="write", call=100, value=9),
    Operation(op="read", call=110, returned=120, result=7),
    Operation(op="read", call=130, returned=140, result=9),
    Operation(op="read", call=130, returned=140, result=0, key="another"),
]


def test_an_order_that_fits_is_found(judge: Judge) -> None:
    """Increments that overlap, a race for one value and a write whose answer was lost have an order."""
    assert "" == judge(HISTORY)


@pytest.mark.parametrize(
    "wrong",
    [
        Operation(op="read", call=150, returned=160, result=7),
        Operation(op="increment", call=1, returned=2, result=2),
        Operation(op="cas", call=150, returned=160, expected=9, value=1, result=False),
        Operation(op="write", call=91, returned=92, value=5),
    ],
    ids=lambda operation: operation.op,
)
def test_what_fits_into_no_order_is_named(judge: Judge, wrong: Operation) -> None:
    """An old value read, a number given twice, a compare-and-set refused without cause, a lost write."""
    found = judge([*HISTORY, wrong])

    assert found.startswith('key "": no order fits')


def test_a_history_that_makes_no_sense_is_refused(judge: Judge) -> None:
    """An answered read without a result is a defect of the test that wrote it."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        judge([Operation(op="read", call=1, returned=2)])

    assert 2 == caught.value.returncode
