"""From mendloop.toml and the command line to a plan: the command line counts where both speak."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import msgspec

from mendloop.config import CONFIG_NAME, Config, ReviewTable, parse_duration
from mendloop.core.errors import ValidationError
from mendloop.core.model import RemediationState
from mendloop.core.text import redact_secrets, tidy
from mendloop.intake.recognise import OK_EXIT_CODES
from mendloop.lease import LEASE_SECONDS
from mendloop.loop import Plan
from mendloop.reports import Reviewer
from mendloop.steps import Fixer

__all__ = ["RunOptions", "make_plan", "name_of"]

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_NAME_BYTES = 40
_DIGEST_CHARACTERS = 8
_SHOWN_LIMIT_BYTES = 64 * 1024


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line of `mendloop run` said; None and empty where it said nothing."""

    review: tuple[str, ...] = ()
    fix: str | None = None
    format: str | None = None
    max_iterations: int | None = None
    no_progress: int | None = None
    budget: float | None = None
    step_attempts: int | None = None
    review_timeout: float | None = None
    fix_timeout: float | None = None
    lease: float | None = None


def make_plan(
    config: Config,
    options: RunOptions,
    *,
    state: RemediationState | None,
    tree: Path,
    lock_dir: Path,
    brief_dir: Path,
    store: str,
) -> Plan:
    """
    Put both together.

    Args:
        state: The task as it stands, or None where it is new.

    Raises:
        ValidationError: There is no reviewer or no fixer, or two reviewers have one name.
    """
    reviewers = _reviewers(config, options)
    fix = options.fix or config.loop.fix
    if not reviewers or not fix:
        missing = "--review CMD" if not reviewers else "--fix CMD"
        raise ValidationError(
            f"{missing} is missing: give it, or write it into {tree / CONFIG_NAME} "
            "(`mendloop init` makes one)"
        )
    fix_timeout = _first(options.fix_timeout, config.loop.fix_timeout)
    return Plan(
        reviewers=reviewers,
        fixer=Fixer(command=fix)
        if fix_timeout is None
        else Fixer(command=fix, timeout_seconds=fix_timeout),
        tree=tree,
        lock_dir=lock_dir,
        brief_dir=brief_dir,
        store=store,
        settings=_settings(config, options, state),
        lease_seconds=options.lease or LEASE_SECONDS,
    )


def _settings(
    config: Config, options: RunOptions, state: RemediationState | None
) -> dict[str, int | float | None]:
    table = config.loop
    given = {
        "max_iterations": _limit(config, options, state),
        "no_progress_rounds": options.no_progress or table.no_progress_rounds,
        "budget_seconds": _first(options.budget, table.budget),
        "step_attempts": options.step_attempts or table.step_attempts,
    }
    return {name: value for name, value in given.items() if value is not None}


def _limit(config: Config, options: RunOptions, state: RemediationState | None) -> int | None:
    """
    Choose the limit of iterations.

    A limit that `mendloop resume --max-iterations` raised stays raised: the file never lowers it,
    and the command line not to a number that is spent already.
    """
    given = options.max_iterations or config.loop.max_iterations
    if given is None or state is None:
        return given
    known = state.ledger.settings.max_iterations
    is_outgrown = given < known and (options.max_iterations is None or given <= state.iteration)
    return None if is_outgrown else given


def _reviewers(config: Config, options: RunOptions) -> tuple[Reviewer, ...]:
    tables = [ReviewTable(command=command) for command in options.review] or config.review
    reviewers = []
    for table in tables:
        timeout = _first(options.review_timeout, table.timeout)
        reviewer = Reviewer(
            name=table.name or name_of(table.command),
            command=table.command,
            format=options.format or table.format,
            ok_exit_codes=OK_EXIT_CODES if table.ok_exit_codes is None else table.ok_exit_codes,
        )
        if timeout is not None:
            reviewer = msgspec.structs.replace(reviewer, timeout_seconds=timeout)
        reviewers.append(reviewer)
    _refuse_twins([reviewer.name for reviewer in reviewers])
    return tuple(reviewers)


def _refuse_twins(names: list[str]) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValidationError(
            f"two reviewers have one name: {', '.join(twins)}; take one out, or give it another "
            f"name in {CONFIG_NAME}"
        )


def name_of(command: str) -> str:
    """
    Name a reviewer by its command: two commands are two sources, in every run and any order.

    A short command is its own name. Of another one the first words are shown, without leading
    assignments and secrets, and a digest of all of it makes the difference.
    """
    words = command.split()
    while words and _ASSIGNMENT.fullmatch(words[0]):
        del words[0]
    shown = tidy(" ".join(words), limit_bytes=_SHOWN_LIMIT_BYTES, redact=redact_secrets)
    if shown == command.strip() and "~" not in shown and len(shown.encode()) <= _NAME_BYTES:
        return shown
    digest = hashlib.sha256(os.fsencode(command.strip())).hexdigest()[:_DIGEST_CHARACTERS]
    start = shown.encode()[: _NAME_BYTES - _DIGEST_CHARACTERS - 1].decode(errors="ignore")
    return f"{start.rstrip()}~{digest}"


def _first(option: float | None, key: str | float | None) -> float | None:
    if option is not None:
        return option
    return None if key is None else parse_duration(key)
