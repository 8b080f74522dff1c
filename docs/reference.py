"""
Write the pages that are made from the code: `make reference`.

    python docs/reference.py cli > docs/cli.md
    python docs/reference.py library > docs/library.md
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import click

import mendloop
from mendloop.cli.app import app

_MADE = "<!-- Made from the code by `make reference`; a test holds it against the code. -->"


def cli() -> Iterator[str]:
    """Yield the page of all commands."""
    yield f"""# Command line

{_MADE}

`mendloop COMMAND [OPTIONS]`, or `kubectl mendloop COMMAND` for the store `kubernetes`. [Exit codes](../README.md#exit-codes) say how it
ended. These options are of every command, and may stand before or after its name:"""
    shared: AbstractSet[str | None] = {parameter.name for parameter in app.params} - {"version"}
    context = click.Context(app, info_name="mendloop", max_content_width=100)
    yield _options(app, context)
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        assert command is not None  # noqa: S101 - it was listed
        yield from _command(command, f"mendloop {name}", context, shared)


def _command(
    command: click.Command, path: str, parent: click.Context, shared: AbstractSet[str | None]
) -> Iterator[str]:
    context = click.Context(command, parent=parent, info_name=path.rpartition(" ")[2])
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"\n## {path}\n\n`{path} {pieces}`\n"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "")
    yield _options(command, context, without=shared)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None  # noqa: S101 - it was listed
            yield from _command(inner, f"{path} {name}", context, shared)


def _options(
    command: click.Command,
    context: click.Context,
    *,
    without: AbstractSet[str | None] = frozenset(),
) -> str:
    rows = [
        parameter.get_help_record(context)
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name not in without
    ]
    told = [f"| `{_cell(row[0])}` | {_cell(row[1])} |" for row in rows if row]
    return "\n".join(["\n| option | |", "| --- | --- |", *told]) if told else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def library() -> Iterator[str]:
    """Yield the page of all public names."""
    yield f"""# Library

{_MADE}

```python
from mendloop import StateManager, open_sqlite
```

Every name on this page is imported from `mendloop`. All methods that are `async` may raise `StoreError` and its kinds: the store failed, or
fell silent. Times are aware `datetime`s in UTC, durations are in seconds where a name says so."""
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Words": [], "Errors": []}
    for name in mendloop.__all__:
        thing = getattr(mendloop, name)
        kinds[_kind_of(thing)].append(name)
    for kind, names in kinds.items():
        yield f"\n## {kind}"
        for name in names:
            yield from _entry(name, getattr(mendloop, name), level=3)


def _kind_of(thing: Any) -> str:
    if not inspect.isclass(thing):
        return "Functions"
    if issubclass(thing, Exception):
        return "Errors"
    return "Words" if issubclass(thing, enum.Enum) else "Classes"


def _entry(name: str, thing: Any, *, level: int) -> Iterator[str]:
    yield f"\n{'#' * level} {name}\n"
    if inspect.isroutine(thing):
        yield f"```python\n{_signature(name.rpartition('.')[2], thing)}\n```\n"
    yield _prose(inspect.getdoc(thing) or "")
    if not inspect.isclass(thing) or issubclass(thing, Exception):
        return
    if issubclass(thing, enum.Enum):
        yield "\n" + ", ".join(f"`{member.value}`" for member in thing)
        return
    for member, method in inspect.getmembers_static(thing, inspect.isroutine):
        if not member.startswith("_") and inspect.getdoc(method):
            yield from _entry(f"{name}.{member}", getattr(thing, member), level=level + 1)


def _signature(name: str, routine: Any) -> str:
    is_async = inspect.iscoroutinefunction(routine)
    signature = str(inspect.signature(routine)).replace("'", "")
    return f"{'async ' * is_async}def {name}{signature}"


def _prose(docstring: str) -> str:
    """Make Markdown of a docstring: its sections become paragraphs and lists."""
    head, *sections = re.split(
        r"^(Args|Attributes|Returns|Raises):\n", docstring, flags=re.MULTILINE
    )
    told = [head.strip()]
    for title, content in zip(sections[::2], sections[1::2], strict=True):
        text = inspect.cleandoc(content)
        if title != "Returns":
            text = re.sub(
                r"^(\w+): ", r"- `\1`: ", re.sub(r"\n    ", " ", text), flags=re.MULTILINE
            )
        told.append(f"**{title}**\n\n{text}")
    return "\n\n".join(told).replace("``", "`")


if __name__ == "__main__":
    pages = {"cli": cli, "library": library}
    for part in pages[sys.argv[1]]():
        print(part)  # noqa: T201 - it is the page
