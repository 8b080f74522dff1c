"""`mendloop doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mendloop.cli.options import shared_options, tasks_argument
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from mendloop.core.diagnosis import Diagnosis, Symptom
    from mendloop.core.model import RemediationState
    from mendloop.manager import StateManager
    from mendloop.recovery import Recovery

__all__ = ["doctor"]


@click.command
@tasks_argument
@click.option("--repair", is_flag=True, help="Make sound again what can be; copies are kept first.")
@click.option(
    "--dry-run", is_flag=True, help="With --repair: only say what would be repaired and lost."
)
@shared_options
@click.pass_obj
def doctor(session: Session, task_ids: tuple[str, ...], *, repair: bool, dry_run: bool) -> int:
    """
    Tell what is wrong with the stored state of tasks, of all if none is named; --repair repairs it.

    Where none is named, damaged rows of a SQLite file that are of no task's state are told and mended too.
    The exit code is 0 where all is well or was repaired with nothing lost, and 17 where something
    is wrong or was lost. A repair lowers no counter and keeps what was damaged.
    """
    from mendloop.cli.composition import with_manager
    from mendloop.cli.exit_codes import ExitCode
    from mendloop.cli.printing import emit

    if dry_run and not repair:
        raise click.UsageError("--dry-run belongs to --repair: without it nothing is changed")

    async def examine(manager: StateManager) -> list[dict[str, Any]]:
        rows = [row async for row in _examined(manager, task_ids) if row["symptoms"]]
        if repair:
            return [await _repaired(manager, row, is_dry_run=dry_run) for row in rows]
        return rows

    rows = with_manager(session, examine)
    emit(session, {"tasks": rows}, lambda: _show(session, rows))
    if session.output == "table" and not repair:
        _propose(session, task_ids, rows)
    return ExitCode.OK if all(map(_is_well, rows)) else ExitCode.UNSOUND


async def _examined(
    manager: StateManager, task_ids: tuple[str, ...]
) -> AsyncGenerator[dict[str, Any], None]:
    if not task_ids:
        async for diagnosis in manager.validate_all():
            yield await _row(manager, diagnosis)
        async for diagnosis in manager.validate_rows():
            yield await _row(manager, diagnosis)
    for task_id in task_ids:
        yield await _row(manager, await manager.validate_state(task_id))


async def _row(manager: StateManager, diagnosis: Diagnosis) -> dict[str, Any]:
    symptoms = [*diagnosis.symptoms]
    if diagnosis.is_sound:
        symptoms += await _lease_symptoms(manager, diagnosis.task_id)
    return {
        "task_id": diagnosis.task_id,
        "is_sound": diagnosis.is_sound,
        "is_repairable": diagnosis.is_repairable,
        "symptoms": symptoms,
    }


async def _lease_symptoms(manager: StateManager, task_id: str) -> list[Symptom]:
    """Say that a run of this host is gone: it is no damage, and the next run takes its place."""
    from mendloop.cli import words
    from mendloop.core.diagnosis import abandoned

    state: RemediationState | None = await manager.get_state(task_id)
    if state is None or not words.is_gone(state.ledger.lease):
        return []
    return [abandoned(words.holder_words(state.ledger.lease))]


async def _repaired(
    manager: StateManager, row: dict[str, Any], *, is_dry_run: bool
) -> dict[str, Any]:
    """Repair one task, or only say what that would come to; a failure stops no other."""
    from mendloop.core.errors import StateError

    if not row["is_repairable"]:
        return row
    repair = manager.mend_row if _is_of_no_task(row) else manager.recover_state
    try:
        recovery: Recovery = await repair(row["task_id"], is_dry_run=is_dry_run)
    except StateError as error:
        return row | {"problem": str(error)}
    told = {"is_repaired": recovery.is_changed, "iteration": recovery.iteration}
    if is_dry_run:
        return row | told | {"would_repair": recovery.repaired, "would_lose": recovery.lost}
    kept = {"lost": recovery.lost, "quarantined": recovery.quarantined}
    return row | told | kept | {"is_sound": True}


def _is_of_no_task(row: dict[str, Any]) -> bool:
    from mendloop.core.diagnosis import SymptomKind

    return any(symptom.kind is SymptomKind.DAMAGED_ROW for symptom in row["symptoms"])


def _is_well(row: dict[str, Any]) -> bool:
    return bool(row["is_sound"]) and not row.get("lost")


def _show(session: Session, rows: list[dict[str, Any]]) -> None:
    from mendloop.cli.printing import print_line, print_table

    if not rows:
        print_line("nothing is wrong")
        return
    told = [
        [row["task_id"], symptom.gravity, symptom.what, symptom.advice]
        for row in rows
        for symptom in row["symptoms"]
    ]
    print_table(session, ["task", "gravity", "what", "what to do"], told)
    for row in rows:
        for line in _outcome_of(row):
            print_line(line)


def _propose(session: Session, task_ids: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Say how what was looked at is repaired, or first how much a repair would lose."""
    from mendloop.cli.printing import print_line
    from mendloop.core.diagnosis import Gravity

    symptoms = [symptom for row in rows if row["is_repairable"] for symptom in row["symptoms"]]
    if not symptoms:
        return
    repair = " ".join(("mendloop doctor", *task_ids, "--repair"))
    if any(symptom.gravity is Gravity.LOST for symptom in symptoms):
        dry_run = f"{repair} --dry-run{session.store_option}"
        print_line(f"`{dry_run}` tells what a repair would lose, and changes nothing")
    else:
        print_line(f"`{repair}{session.store_option}` repairs what can be")


def _outcome_of(row: dict[str, Any]) -> Iterator[str]:
    """Say what came of the repair of a task, or would come of it."""
    task_id = row["task_id"]
    at = "" if _is_of_no_task(row) else f", at iteration {row.get('iteration')}"
    if "problem" in row:
        yield f"{task_id} is not repaired: {row['problem']}"
    if row.get("would_repair"):
        lost = "; ".join(row["would_lose"]) or "nothing"
        yield f"{task_id} would be repaired{at}; would be lost: {lost}"
    if row.get("is_repaired"):
        lost = "; ".join(row["lost"]) or "nothing"
        yield f"{task_id} is repaired{at}; lost: {lost}"
        for name in row["quarantined"]:
            yield f"a copy of what was damaged is kept as {name}"
