"""The log of a store, written by ann."""

from __future__ import annotations

from mendloop.clock import SystemClock
from mendloop.core.logbook import Actor
from mendloop.core.text import no_redaction
from mendloop.logbook import Logbook
from mendloop.stores.port import Store

__all__ = ["logbook_of"]


def logbook_of(store: Store, door: str) -> Logbook:
    """The log of *store*, for who comes in by *door*."""
    return Logbook(store, actor=Actor("ann", door), clock=SystemClock(), redact=no_redaction)
