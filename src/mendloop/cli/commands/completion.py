"""`mendloop completion`."""

from __future__ import annotations

import click

__all__ = ["completion"]

_VARIABLE = "_MENDLOOP_COMPLETE"


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """
    Print what makes a shell complete mendloop's commands and options.

    For bash: add `eval "$(mendloop completion bash)"` to ~/.bashrc; likewise for zsh. For fish:
    `mendloop completion fish > ~/.config/fish/completions/mendloop.fish`.
    """
    from click.shell_completion import get_completion_class

    from mendloop.cli.app import app

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    click.echo(kind(app, {}, "mendloop", _VARIABLE).source())
