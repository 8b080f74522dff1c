"""
The chain of a task's commits: each has a link, made of the link before it and of all that it says.

So nothing can be changed, taken out or put in between without another link from there on, and the
state says where the chain ends. Whoever can write the store can make a whole chain anew: see
docs/audit.md for what it shows and whom it does not stop.
"""

from __future__ import annotations

import hashlib

import msgspec

from mendloop.core.codec import canonical
from mendloop.core.model import Chain, Commit

__all__ = ["link_of", "linked"]

_replace = msgspec.structs.replace


def link_of(before: str, commit: Commit) -> str:
    """
    The link that *commit* has after the link *before*: 32 hex digits of SHA-256.

    Args:
        before: The link of the commit before; "" where the chain begins.
        commit: Its own link does not count.
    """
    content = canonical(_replace(commit, link=""))
    return hashlib.sha256(before.encode() + b"\n" + content).hexdigest()[:32]


def linked(chain: Chain | None, commit: Commit) -> tuple[Commit, Chain]:
    """Hang *commit* on *chain*, or begin one with it."""
    before = chain or Chain(count=0, head="")
    link = link_of(before.head, commit)
    return _replace(commit, link=link), Chain(count=before.count + 1, head=link)
