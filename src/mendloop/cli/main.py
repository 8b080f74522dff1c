"""
From arguments to an exit code: nothing that goes wrong shows a traceback.

Only what every call needs is imported here.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit, NoArgsIsHelpError

from mendloop.cli.app import app
from mendloop.cli.session import Session
from mendloop.cli.streams import forget_stdout, make_patient

if TYPE_CHECKING:
    from mendloop.core.errors import StateError

__all__ = ["complain", "run"]

_COMPLETION = "_MENDLOOP_COMPLETE"
_UNEXPECTED = 1
_USAGE = 2
_SYSTEM_REFUSED = 16
_INTERRUPTED = 130
_LINE_BYTES = 4096
_PROPOSED = re.compile(r"`mendloop [^`]+(?=`)")


def run(arguments: Sequence[str], *, program: str = "mendloop", store: str = "") -> int:
    """
    Run the command line; returns its exit code, see `mendloop.cli.exit_codes`.

    Args:
        arguments: Without the program's name.
        program: Its name.
        store: The store's spec where --store does not name one.
    """
    make_patient()
    session = Session(arguments, program=program, store=store)
    try:
        code = _run(session)
    except BrokenPipeError:
        code = 0  # whoever read our output has had enough of it
    trouble = _flush_trouble()
    if trouble is not None:
        forget_stdout()
        if not isinstance(trouble, BrokenPipeError):
            complain(session, "OSError", f"error: standard output cannot be written: {trouble}")
            code = code or _SYSTEM_REFUSED
    return code


def _flush_trouble() -> OSError | None:
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def complain(session: Session, kind: str, message: str, *, task_id: str = "") -> None:
    """Say on standard error what went wrong, and with -o json also as an object."""
    from mendloop.core.text import redact_secrets, tidy

    line = " ".join(tidy(message, limit_bytes=_LINE_BYTES, redact=redact_secrets).split())
    # Where nobody hears it there is nobody to tell.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        click.echo(f"mendloop: {line}", err=True)
        if session.output == "json":
            import json

            click.echo(json.dumps({"error": kind, "message": line, "task_id": task_id}), err=True)


def _run(session: Session) -> int:
    try:
        return _invoke(session)
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return _USAGE
    except click.UsageError as error:
        hint = f"; try `{error.ctx.command_path} --help`" if error.ctx else ""
        message = error.format_message().rstrip(".")
        return _fail(session, "UsageError", f"{message}{hint}", _USAGE)
    except click.ClickException as error:
        return _fail(session, type(error).__name__, error.format_message(), _USAGE)
    except (KeyboardInterrupt, click.Abort):
        return _fail(session, "Interrupted", "interrupted", _INTERRUPTED)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback reaches the user
        return _explain(session, error)


def _invoke(session: Session) -> int:
    """Do what click's own main does, but for its ways with errors."""
    if _COMPLETION in os.environ:
        app.main(list(session.arguments), prog_name=session.program, complete_var=_COMPLETION)
    try:
        with app.make_context(session.program, list(session.arguments), obj=session) as context:
            code = app.invoke(context)
    except Exit as asked:
        return asked.exit_code
    return code if isinstance(code, int) else 0


def _explain(session: Session, error: Exception) -> int:
    from mendloop.cli.exit_codes import code_of_error
    from mendloop.core.errors import StateError

    if os.environ.get("MENDLOOP_DEBUG") == "1":
        import traceback

        from mendloop.core.text import redact_secrets

        told = "".join(traceback.format_exception(error))
        click.echo(redact_secrets(told), err=True, nl=False)
    if isinstance(error, StateError):
        code = int(code_of_error(error))
        # Who refuses does not know what the store is called here.
        message = _PROPOSED.sub(lambda found: found[0] + session.store_option, _advised(error))
        return _fail(session, type(error).__name__, message, code, task_id=error.task_id)
    if isinstance(error, OSError):
        if _flush_trouble() is not None:
            return _SYSTEM_REFUSED  # this was it, and is said in the end
        return _fail(session, type(error).__name__, f"the system refused: {error}", _SYSTEM_REFUSED)
    message = (
        f"unexpected {type(error).__name__}: {error}; this is a defect of mendloop: please report "
        "it with what MENDLOOP_DEBUG=1 shows"
    )
    return _fail(session, type(error).__name__, message, _UNEXPECTED)


def _advised(error: StateError) -> str:
    """What went wrong, and what to do where the state of a task is damaged."""
    from mendloop.core.errors import DeserializationError

    message = str(error)
    if isinstance(error, DeserializationError) and error.task_id and "`mendloop " not in message:
        return f"{message}; `mendloop doctor {error.task_id}` tells what to do"
    return message


def _fail(session: Session, kind: str, message: str, code: int, *, task_id: str = "") -> int:
    complain(session, kind, f"error: {message}", task_id=task_id)
    return code
