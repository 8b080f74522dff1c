"""
What becomes of a command's output: kept up to a limit, its end remembered, its lines shown.

Memory stays flat whatever is printed: a chunk is dealt with before the next one is read, and a
line without end is handed on in pieces.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mendloop.core.errors import RunError
from mendloop.core.text import clean, redact_secrets, tidy

__all__ = ["Capture", "Drain", "LineFeed", "Tail"]

_CHUNK_BYTES = 32 * 1024
_LINE_CHARACTERS = 8 * 1024
_UNENDED_CHARACTERS = 4 * _LINE_CHARACTERS
_BLOCK_CHARACTERS = 64 * 1024
_BLOCK_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
# No token goes on behind one of these.
_PARTS = " \t\"',;<>()[]{}&|"
_REPORT_STARTS = b"{[<"
_BLANKS = b" \t\r\n\f\v\xef\xbb\xbf"


class Capture:
    """
    Keeps the first bytes of an output in a file and counts the rest.

    Attributes:
        total_bytes: All that was fed.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """
        Begin the file anew, readable by its owner alone.

        Raises:
            RunError: The file cannot be made.
        """
        self._path = path
        self._limit_bytes = limit_bytes
        self.total_bytes = 0
        try:
            path.unlink(missing_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise RunError(f"cannot keep the output in {path}: {error.strerror}") from error
        self._file = open(handle, "wb", buffering=0)  # noqa: PTH123, SIM115 - close() is ours

    @property
    def is_cut(self) -> bool:
        """Whether more came than is kept."""
        return self.total_bytes > self._limit_bytes

    def feed(self, chunk: bytes) -> None:
        """
        Take the next bytes.

        Raises:
            RunError: The file cannot be written.
        """
        room_bytes = max(0, self._limit_bytes - self.total_bytes)
        self.total_bytes += len(chunk)
        rest = memoryview(chunk)[:room_bytes]
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise RunError(f"cannot keep the output in {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        self._file.close()


class Tail:
    """
    Remembers the last bytes of an output, as a text that is cleaned and without secrets.

    As much again is remembered before them, so that a secret where they begin is known for one.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Tell at most so many."""
        self._limit_bytes = limit_bytes
        self._last = bytearray()
        self._is_cut = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._last += chunk
        self._is_cut = self._is_cut or len(self._last) > 2 * self._limit_bytes
        del self._last[: -2 * self._limit_bytes]

    def read(self) -> bytes:
        """Tell the last bytes, in UTF-8."""
        text = self._last.decode(errors="replace")
        if self._is_cut:
            text = text.partition("\n")[2] or text
        text = tidy(text, limit_bytes=sys.maxsize, redact=redact_secrets)
        return text.encode()[-self._limit_bytes :]


class LineFeed:
    """
    Hands an output on line by line, without secrets; long lines come in pieces.

    The lines of a private key are held until its end, so that it is known for one.
    """

    def __init__(self, show: Callable[[str], None], *, is_report_hidden: bool) -> None:
        """
        Hand lines to *show*.

        Args:
            show: Called with each line, without its end.
            is_report_hidden: Show nothing of an output that begins as JSON or XML does.
        """
        self._show = show
        self._is_open_question = is_report_hidden
        self._is_hidden = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = ""
        self._block: list[str] = []

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._is_open_question:
            start = chunk.lstrip(_BLANKS)
            if not start:
                return
            self._is_open_question = False
            self._is_hidden = start[0] in _REPORT_STARTS
        if not self._is_hidden:
            self._take(self._decoder.decode(chunk))

    def close(self) -> None:
        """Show what has no line end."""
        self._take(self._decoder.decode(b"", final=True))
        last = [self._partial] if self._partial else []
        self._show_lines([*self._block, *last])
        self._partial, self._block = "", []

    def _take(self, text: str) -> None:
        *lines, self._partial = (self._partial + text).split("\n")
        if len(self._partial) > _UNENDED_CHARACTERS:
            end = max(map(self._partial.rfind, _PARTS)) + 1 or len(self._partial)
            lines.append(self._partial[:end])
            self._partial = self._partial[end:]
        if lines:
            self._hold_block([*self._block, *(line.removesuffix("\r") for line in lines)])

    def _hold_block(self, lines: list[str]) -> None:
        """Show *lines*, but for those of a private key that has not ended yet."""
        text = "\n".join(lines)
        start = max(text.rfind("-----BEGIN "), 0)
        is_begun = _BLOCK_BEGINS.match(text, start) and "-----END " not in text[start:]
        first = text.count("\n", 0, start) if is_begun else len(lines)
        if len(text) - start > _BLOCK_CHARACTERS:
            first = len(lines)
        lines, self._block = lines[:first], lines[first:]
        self._show_lines(lines)

    def _show_lines(self, lines: list[str]) -> None:
        text = "\n".join(lines)
        cleaned = clean(text, limit_bytes=sys.maxsize)
        redacted = redact_secrets(cleaned)
        for line in lines if redacted is cleaned else redacted.split("\n"):
            self._show_line(line)

    def _show_line(self, line: str) -> None:
        for start in range(0, max(1, len(line)), _LINE_CHARACTERS):
            self._show(line[start : start + _LINE_CHARACTERS])


class Drain:
    """
    Reads a pipe on the running event loop until its end, a chunk at a time.

    Attributes:
        ended: Done at the end of the pipe, or when it was closed.
    """

    def __init__(
        self,
        handle: int,
        feeds: Sequence[Callable[[bytes], None]],
        *,
        trouble: asyncio.Future[None],
    ) -> None:
        """
        Begin to read.

        Args:
            handle: The pipe; it stays the caller's to close, after `close`.
            feeds: Each takes each chunk. While they work, whoever writes into the pipe waits.
            trouble: Gets what one of them raises; reading stops then.
        """
        self._handle = handle
        self._feeds = feeds
        self._trouble = trouble
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(handle, False)
        self._loop.add_reader(handle, self._read)

    def close(self) -> None:
        """Stop reading. Idempotent."""
        if not self.ended.done():
            self._loop.remove_reader(self._handle)
            self.ended.set_result(None)

    def _read(self) -> None:
        try:
            chunk = os.read(self._handle, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self._hand_on(chunk)
        else:
            self.close()

    def _hand_on(self, chunk: bytes) -> None:
        try:
            for feed in self._feeds:
                feed(chunk)
        except Exception as error:  # noqa: BLE001 - what the caller's code raises goes to the caller
            if not self._trouble.done():
                self._trouble.set_exception(error)
            self.close()
