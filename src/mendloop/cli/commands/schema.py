"""`mendloop schema`."""

from __future__ import annotations

from typing import Any

import click

from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

__all__ = ["schema"]

_CARRIED = "__carried__"


@click.command
@click.argument("what", type=click.Choice(["state", "feedback", "events"]), default="state")
@shared_options
@click.pass_obj
def schema(session: Session, what: str) -> None:
    """Print the JSON Schema of a task's state, of a finding, or of the events of `run -o json`."""
    from mendloop.cli.printing import emit

    if session.output == "table":
        session.output = "json"
    emit(session, _schema(what), lambda: None)


def _schema(what: str) -> dict[str, Any]:
    import msgspec

    from mendloop import events
    from mendloop.core.model import FeedbackEntry, RemediationState

    kinds: dict[str, Any] = {"state": RemediationState, "feedback": FeedbackEntry}
    kind = kinds.get(what) or events.Event
    if what == "events":
        *_, kind = (_union(events),)
    described = msgspec.json.schema(kind)
    for definition in described.get("$defs", {}).values():
        definition.get("properties", {}).pop(_CARRIED, None)
        if what == "events":
            _add_time(definition)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def _union(events: Any) -> Any:
    kinds = [getattr(events, name) for name in events.__all__]
    union: Any = None
    for kind in kinds:
        is_event = isinstance(kind, type) and issubclass(kind, events.Event)
        if is_event and kind is not events.Event:
            union = kind if union is None else union | kind
    return union


def _add_time(definition: dict[str, Any]) -> None:
    """Each line also says when."""
    properties = definition.get("properties", {})
    if "event" in properties:
        properties["at"] = {"type": "string", "format": "date-time"}
        definition["required"] = [*definition.get("required", []), "at"]
