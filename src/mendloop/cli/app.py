"""The group of all commands; a command's module is imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from mendloop import __version__
from mendloop.cli.options import shared_options

__all__ = ["app"]

_COMMANDS = {
    "run": "run:run",
    "list": "listing:list_tasks",
    "watch": "watching:watch",
    "show": "show:show",
    "history": "history:history",
    "audit": "audit:audit",
    "explain": "explain:explain",
    "stats": "stats:stats",
    "increment": "increment:increment",
    "feedback": "feedback:feedback",
    "tip": "tip:tip",
    "pause": "control:pause",
    "resume": "control:resume",
    "stop": "control:stop",
    "delete": "cleaning:delete",
    "restore": "cleaning:restore",
    "hold": "cleaning:hold",
    "cleanup": "cleaning:cleanup",
    "doctor": "doctor:doctor",
    "serve": "serve:serve",
    "export": "exporting:export",
    "import": "importing:import_",
    "init": "init:init",
    "schema": "schema:schema",
    "completion": "completion:completion",
}


class _LazyGroup(click.Group):
    """Imports no command but the one that is called: `mendloop list` is quick to start."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(f"mendloop.cli.commands.{module}"), name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above names commands
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@shared_options
def app() -> None:
    """
    Loop review -> fix -> review until nothing is open or it makes no sense to go on.

    The state of every loop is kept: what was found, what became of it, who works on it now and why
    it stopped. A loop that was killed at any moment goes on where it was.
    """
