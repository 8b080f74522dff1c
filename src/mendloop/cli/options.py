"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mendloop.cli.session import Session

__all__ = [
    "OUTPUTS",
    "SEVERITIES",
    "directory_option",
    "duration",
    "not_blank",
    "reason_option",
    "shared_options",
    "spare_reason_option",
    "task_argument",
    "tasks_argument",
]

OUTPUTS = ("table", "json", "yaml")
SEVERITIES = ("Low", "Medium", "High", "Critical")

_F = TypeVar("_F", bound=Callable[..., Any])


def duration(text: str) -> float:
    """Read a time such as 90, 90s, 15m or 1h30m in seconds."""
    from mendloop.config import parse_duration
    from mendloop.core.errors import ValidationError

    try:
        return parse_duration(text)
    except ValidationError as error:
        raise click.BadParameter(str(error)) from error


def not_blank(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """Refuse an option that is given and says nothing."""
    if text is None or text.strip():
        return text
    raise click.BadParameter("it is blank")


def _check_task(_context: click.Context, _parameter: click.Parameter, task_id: str) -> str:
    from mendloop.core.names import check_task_id

    return check_task_id(task_id)


task_argument = click.argument("task_id", metavar="TASK", callback=_check_task)


def _check_tasks(
    context: click.Context, parameter: click.Parameter, task_ids: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(_check_task(context, parameter, task_id) for task_id in task_ids)


tasks_argument = click.argument("task_ids", nargs=-1, metavar="[TASK]...", callback=_check_tasks)


directory_option = click.option(
    "-C",
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The work tree; the current folder if not given.",
)

_REASON: dict[str, Any] = {
    "callback": not_blank,
    "help": "Why, for whoever looks at it later.",
}
reason_option = click.option("--reason", required=True, **_REASON)
spare_reason_option = click.option("--reason", default="no reason given", **_REASON)


def shared_options(command: _F) -> _F:
    """Give *command* the options that stand before or after a command's name."""
    for option in reversed(_SHARED):
        command = option(command)
    return command


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """The option nearest to the end of the line counts."""
    if value is not None and parameter.name is not None:
        setattr(context.ensure_object(Session), parameter.name, value)


_SHARED = (
    click.option(
        "--store",
        metavar="SPEC",
        expose_value=False,
        callback=_keep,
        help="Where the state is: sqlite:PATH or kubernetes[:NAMESPACE]; else $MENDLOOP_STORE, "
        "else a file in the user's state folder.",
    ),
    click.option(
        "-n",
        "--namespace",
        metavar="NAME",
        expose_value=False,
        callback=_keep,
        help="Of the store kubernetes; the context's if not given.",
    ),
    click.option(
        "--context",
        metavar="NAME",
        expose_value=False,
        callback=_keep,
        help="Of the kubeconfig, for the store kubernetes; the current one if not given.",
    ),
    click.option(
        "--kubeconfig",
        metavar="FILE",
        expose_value=False,
        callback=_keep,
        help="For the store kubernetes; else $KUBECONFIG, else ~/.kube/config, else the Pod's own.",
    ),
    click.option(
        "-o",
        "--output",
        type=click.Choice(OUTPUTS),
        expose_value=False,
        callback=_keep,
        help="How to print; table if not given.",
    ),
    click.option(
        "--by",
        metavar="NAME",
        expose_value=False,
        callback=_keep,
        help="Who does it, for the history; user@host if not given.",
    ),
)
