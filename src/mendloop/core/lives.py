"""
The life of a finding: what it is now, and how it changes.

`FeedbackEntry.resolved` is what other programs read and write. Where one of them changed it, it has
the last word.
"""

from __future__ import annotations

import msgspec

from mendloop.core.model import LIVES_KEPT, FeedbackEntry, Finding, LifeChange
from mendloop.core.vocabulary import PERSON, Life

__all__ = ["addressed", "finding_of", "life_of", "turned"]

_replace = msgspec.structs.replace


def finding_of(entry: FeedbackEntry) -> Finding:
    """Our part of *entry*; where another program wrote it, a person's, of which nothing is kept."""
    if isinstance(entry.mendloop, Finding):
        return entry.mendloop
    return Finding(fingerprint="", source=PERSON)


def life_of(entry: FeedbackEntry) -> Life:
    """What became of *entry*."""
    finding = entry.mendloop
    if not isinstance(finding, Finding):
        return Life.VERIFIED if entry.resolved else Life.OPEN
    if finding.life.is_open is not entry.resolved:
        return finding.life
    return Life.VERIFIED if entry.resolved else Life.REOPENED


def turned(entry: FeedbackEntry, change: LifeChange) -> FeedbackEntry:
    """Return *entry* after *change*; one that another program wrote has no life to keep it in."""
    entry = _replace(entry, resolved=not change.life.is_open)
    finding = entry.mendloop
    if not isinstance(finding, Finding):
        return entry
    is_not_gone = change.life.is_open or change.life is Life.OUTDATED
    finding = _replace(
        finding,
        life=change.life,
        resolved_iteration=None if is_not_gone else change.iteration,
        lives=(*finding.lives, change)[-LIVES_KEPT:],
    )
    return _replace(entry, mendloop=finding)


def addressed(entry: FeedbackEntry, change: LifeChange) -> FeedbackEntry:
    """Return open *entry* after a fix; of several fixes in a row the last one is kept."""
    finding = entry.mendloop
    if isinstance(finding, Finding) and finding.lives[-1:]:
        last = finding.lives[-1]
        if last.life is Life.ADDRESSED:
            entry = _replace(entry, mendloop=_replace(finding, lives=finding.lives[:-1]))
    return turned(entry, change)
