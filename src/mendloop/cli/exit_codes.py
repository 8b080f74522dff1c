"""What each exit code means: the one table."""

from __future__ import annotations

from enum import IntEnum

from mendloop.core import errors

__all__ = ["ERROR_CODES", "MEANINGS", "REASON_CODES", "ExitCode", "code_of_error", "code_of_reason"]


class ExitCode(IntEnum):
    """Every code that `mendloop` exits with, but 128 + N where signal N interrupted it."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    MAX_ITERATIONS = 4
    NO_PROGRESS = 5
    BUDGET = 6
    STEP_FAILED = 7
    TERMINATED = 8
    PAUSED = 9
    HELD = 10
    REFUSED = 11
    UNREADABLE = 12
    STORE_FAILED = 13
    OUTCOME_UNKNOWN = 14
    NO_ACCESS = 15
    SYSTEM_REFUSED = 16
    UNSOUND = 17
    INTERRUPTED = 130
    TERMINATED_BY_SIGNAL = 143


MEANINGS = {
    ExitCode.OK: "done; of `run`: completed, a complete review found nothing open",
    ExitCode.UNEXPECTED: "an unexpected error, which is a defect of mendloop",
    ExitCode.USAGE: "the command line or mendloop.toml is wrong",
    ExitCode.NOT_FOUND: "there is no such task, or no more: it was deleted during its run",
    ExitCode.MAX_ITERATIONS: "the limit of iterations is spent",
    ExitCode.NO_PROGRESS: "no progress: the same findings stay open, or come and go",
    ExitCode.BUDGET: "the time budget is spent",
    ExitCode.STEP_FAILED: "a reviewer or the fixer failed in all its attempts, or could not be run",
    ExitCode.TERMINATED: "a person stopped the task",
    ExitCode.PAUSED: "a person paused the task",
    ExitCode.HELD: "another run holds the task or the work tree",
    ExitCode.REFUSED: "refused: invalid input, or the task is not in a state that allows it; "
    "or a run lost its task: run it again to go on",
    ExitCode.UNREADABLE: "the task's state is damaged, or a newer version wrote it; or a bundle is damaged",
    ExitCode.STORE_FAILED: "the store failed: unavailable, full, read-only, damaged or too new",
    ExitCode.OUTCOME_UNKNOWN: "the store fell silent: ask again with the same operation id",
    ExitCode.NO_ACCESS: "no access to the store: its configuration, the credentials or the permissions "
    "are wrong",
    ExitCode.SYSTEM_REFUSED: "the system refused: standard output is full, or the like; run it again",
    ExitCode.UNSOUND: "of `doctor` and `restore --from`: something is wrong with a task, or was lost "
    "from it; of `audit --verify`: a record was changed, taken out or moved",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C (SIGINT); run it again to go on",
    ExitCode.TERMINATED_BY_SIGNAL: "ended by SIGTERM; run it again to go on",
}

ERROR_CODES: dict[type[errors.StateError], ExitCode] = {
    errors.StateError: ExitCode.UNEXPECTED,
    errors.ValidationError: ExitCode.REFUSED,
    errors.TooLarge: ExitCode.REFUSED,
    errors.StateNotFound: ExitCode.NOT_FOUND,
    errors.StateExists: ExitCode.REFUSED,
    errors.TransitionRefused: ExitCode.REFUSED,
    errors.MaxIterationsReached: ExitCode.MAX_ITERATIONS,
    errors.TaskEnded: ExitCode.REFUSED,
    errors.TaskPaused: ExitCode.PAUSED,
    errors.StateDeleted: ExitCode.REFUSED,
    errors.LeaseHeld: ExitCode.HELD,
    errors.LeaseLost: ExitCode.REFUSED,
    errors.SerializationError: ExitCode.UNREADABLE,
    errors.DeserializationError: ExitCode.UNREADABLE,
    errors.HistoryDamaged: ExitCode.UNREADABLE,
    errors.BundleDamaged: ExitCode.UNREADABLE,
    errors.ReadOnlyState: ExitCode.UNREADABLE,
    errors.OutcomeUnknown: ExitCode.OUTCOME_UNKNOWN,
    errors.StoreError: ExitCode.STORE_FAILED,
    errors.StoreNotFound: ExitCode.NOT_FOUND,
    errors.DocumentExists: ExitCode.REFUSED,
    errors.RevisionConflict: ExitCode.REFUSED,
    errors.BeingDeleted: ExitCode.REFUSED,
    errors.StoreUnavailable: ExitCode.STORE_FAILED,
    errors.VersionExpired: ExitCode.STORE_FAILED,
    errors.AccessError: ExitCode.NO_ACCESS,
    errors.NotPermitted: ExitCode.NO_ACCESS,
    errors.StoreFull: ExitCode.STORE_FAILED,
    errors.StoreReadOnly: ExitCode.STORE_FAILED,
    errors.StoreReplaced: ExitCode.STORE_FAILED,
    errors.StoreCorrupt: ExitCode.STORE_FAILED,
    errors.StoreTooNew: ExitCode.STORE_FAILED,
    errors.RunError: ExitCode.STEP_FAILED,
    errors.WorkTreeBusy: ExitCode.HELD,
}

REASON_CODES = {
    "completed": ExitCode.OK,
    "max_iterations": ExitCode.MAX_ITERATIONS,
    "no_progress": ExitCode.NO_PROGRESS,
    "budget": ExitCode.BUDGET,
    "step_failed": ExitCode.STEP_FAILED,
    "terminated": ExitCode.TERMINATED,
    "paused": ExitCode.PAUSED,
    # Ended by a program that keeps no reason: the status has to do.
    "Completed": ExitCode.OK,
    "MaxIterationsReached": ExitCode.MAX_ITERATIONS,
    "Failed": ExitCode.STEP_FAILED,
}


def code_of_error(error: errors.StateError) -> ExitCode:
    """The code for *error*, that of its nearest base where its class is a caller's own."""
    return next(ERROR_CODES[kind] for kind in type(error).__mro__ if kind in ERROR_CODES)


def code_of_reason(reason: str) -> ExitCode:
    """The code of a loop that is over for *reason*."""
    return REASON_CODES[reason]
