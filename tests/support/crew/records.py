"""What a client writes down, line by line, so that a kill takes nothing that it saw."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from mendloop.core.model import FeedbackEntry, RemediationState

__all__ = ["Answer", "Denial", "Log", "Question", "Seen", "digests_of", "read_records"]

Doing = Literal["increment", "append", "look", "peek"]


class Question(msgspec.Struct, tag="asked", omit_defaults=True):
    """
    Something is about to be asked.

    Attributes:
        name: Of this operation, unique; also its operation id.
        task_id: About which task.
        doing: What: peeks are reads of the cache, looks are fresh ones.
        process: Who asks: one after another.
        at: Nanoseconds of the machine's monotonic clock.
    """

    name: str
    task_id: str
    doing: Doing
    process: str
    at: int

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.doing in {"increment", "append"}


class Answer(msgspec.Struct, tag="answered", omit_defaults=True):
    """
    It was answered.

    Attributes:
        name: Of the operation.
        life: To which process: another one after each kill.
        at: Nanoseconds of the machine's monotonic clock.
        number: The iteration that was told.
        findings: How many findings were told.
        digest: Which ones; see `digests_of`.
        tries: How often it was asked.
    """

    name: str
    life: str
    at: int
    number: int = 0
    findings: int = 0
    digest: str = ""
    tries: int = 1


class Denial(msgspec.Struct, tag="denied", omit_defaults=True):
    """It was answered that nothing was written, and nothing will be: asked again under another name."""

    name: str


class Seen(msgspec.Struct):
    """An operation: asked, and answered, denied or neither."""

    asked: Question
    answer: Answer | None = None
    is_denied: bool = False


class Log:
    """A file of records; each line is there when the call returns, whatever becomes of the process."""

    def __init__(self, path: Path, who: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._life = f"{who}/{os.getpid()}"

    def asked(self, name: str, task_id: str, doing: Doing, process: str) -> None:
        self._write(Question(name, task_id, doing, process, time.monotonic_ns()))

    def answered(self, name: str, *, number: int = 0, tries: int = 1) -> None:
        self._write(Answer(name, self._life, time.monotonic_ns(), number, tries=tries))

    def saw(self, name: str, state: RemediationState, findings: Sequence[FeedbackEntry]) -> None:
        """A state was told, and findings of it: all, or else some have left its head."""
        at, total = time.monotonic_ns(), state.findings_total
        digest = digests_of(findings)[-1] if len(findings) == total else ""
        self._write(Answer(name, self._life, at, state.iteration, findings=total, digest=digest))

    def denied(self, name: str) -> None:
        self._write(Denial(name))

    def close(self) -> None:
        os.close(self._file)

    def _write(self, record: Question | Answer | Denial) -> None:
        line = msgspec.json.encode(record) + b"\n"
        assert len(line) == os.write(self._file, line)


def digests_of(findings: Iterable[FeedbackEntry]) -> list[str]:
    """A digest of the ids of the first 0, 1, 2, … findings, in their order."""
    hashed = hashlib.sha256()
    digests = [hashed.hexdigest()]
    for entry in findings:
        hashed.update(entry.pr_comment_id.encode() + b"\n")
        digests.append(hashed.hexdigest())
    return digests


def read_records(paths: Iterable[Path]) -> dict[str, Seen]:
    """Read all that was asked, by name; a line that a kill cut off is no record."""
    decoder = msgspec.json.Decoder(Question | Answer | Denial)
    seen: dict[str, Seen] = {}
    for path in paths:
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        for record in decoder.decode_lines(whole):
            if isinstance(record, Question):
                assert record.name not in seen
                seen[record.name] = Seen(record)
            elif isinstance(record, Answer):
                seen[record.name].answer = record
            else:
                seen[record.name].is_denied = True
    return seen
