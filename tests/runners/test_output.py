from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from mendloop.core.errors import RunError
from mendloop.core.vocabulary import StepKind
from mendloop.runners.output import LineFeed, Tail
from mendloop.runners.port import STDERR_TAIL_BYTES, StepCommand

IS_SOAK = int(os.environ.get("MENDLOOP_SOAK", "0"))
FLOOD_BYTES = 200_000_000 if IS_SOAK else 20_000_000
MEMORY_LIMIT_KIB = 150 * 1024

# Runs one step in a process of its own and prints what it took.
MEASURE = """
import asyncio, sys
from pathlib import Path
from mendloop.runners.local import LocalRunner
from mendloop.runners.port import StepCommand

shown = [0, 0]

def on_output(stream, line):
    shown[0] += 1
    shown[1] = max(shown[1], len(line))

async def on_start(child):
    pass

async def main():
    folder = Path(sys.argv[1])
    runner = LocalRunner(folder / "run", "token")
    outcome = await runner.run(
        StepCommand(name="flood", command=sys.argv[2], cwd=folder),
        on_start=on_start,
        on_output=on_output,
    )
    status = Path("/proc/self/status").read_text()
    peak_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    print(peak_kib, outcome.stdout_bytes, outcome.stdout.stat().st_size, *shown,
          len(outcome.stderr_tail), outcome.exit_code)

asyncio.run(main())
"""

LINES = f"yes {'x' * 79} | head -c {FLOOD_BYTES}"
ONE_LINE = f"head -c {FLOOD_BYTES} /dev/zero | tr '\\0' x"


@pytest.mark.parametrize(
    ("line", "is_stdout"),
    [
        (LINES, True),
        (ONE_LINE, True),
        (f"printf '{{'; {ONE_LINE}", True),
        (f"head -c {FLOOD_BYTES} /dev/zero | tr '\\0' ' '", True),
        (f"({LINES}) >&2", False),
        (f"({ONE_LINE}) >&2", False),
    ],
    ids=["lines", "one-line", "report", "blanks", "stderr-lines", "stderr-one-line"],
)
def test_a_flood_leaves_memory_flat(
    start_python: Any, tmp_path: Any, line: str, is_stdout: bool
) -> None:
    """However much is printed, in lines or without any, memory stays small and all is counted."""
    process = start_python(MEASURE, str(tmp_path), line)
    out, _ = process.communicate(timeout=300)
    peak_kib, seen, kept, _, longest, tail, code = map(int, out.split())
    print(f"peak {peak_kib / 1024:.0f} MiB")  # noqa: T201 - a figure for the reader of -s

    assert 0 == code
    assert peak_kib < MEMORY_LIMIT_KIB
    assert longest <= 8192
    if is_stdout:
        assert FLOOD_BYTES <= seen <= FLOOD_BYTES + 1
        assert 16 * 1024 * 1024 == kept
    else:
        assert STDERR_TAIL_BYTES == tail


async def test_the_first_bytes_are_kept_and_the_rest_counted(bench: Any) -> None:
    """An output over its limit is cut at the limit, and says so."""
    outcome = await bench.run("printf 0123456789", capture_limit_bytes=4)

    assert b"0123" == outcome.stdout.read_bytes()
    assert (10, True) == (outcome.stdout_bytes, outcome.is_stdout_cut)


async def test_an_output_of_the_limit_is_not_cut(bench: Any) -> None:
    """Exactly as much as is allowed is whole."""
    outcome = await bench.run("printf 0123", capture_limit_bytes=4)

    assert (b"0123", False) == (outcome.stdout.read_bytes(), outcome.is_stdout_cut)


async def test_the_end_of_stderr_is_kept(bench: Any) -> None:
    """Of the complaints the last ones are kept, where the reason stands."""
    outcome = await bench.run("yes | head -c 100000 >&2; printf reason >&2")

    assert STDERR_TAIL_BYTES == len(outcome.stderr_tail)
    assert outcome.stderr_tail.endswith(b"y\nreason")


MADE_UP_KEY = "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n".format(
    "MIIEvQIBADAN" * 5 + "\n"
)


@pytest.mark.parametrize("secret", ["token ghp_" + "Aa1" * 12, MADE_UP_KEY], ids=["word", "lines"])
@pytest.mark.parametrize("noise", ["x", "\x1b[0m", "line\n"], ids=ascii)
def test_no_half_of_a_secret_is_kept_where_stderr_is_cut(secret: str, noise: str) -> None:
    """Wherever the end of the complaints begins, a secret there is taken out whole."""
    for kept_bytes in range(len(secret)):
        tail = Tail(1024)
        for chunk in (f"{noise * 3000}\n{secret}\n", "y" * (1024 - kept_bytes)):
            tail.feed(chunk.encode())

        said = tail.read().decode()
        assert said.endswith("y" * (1024 - kept_bytes))
        assert "Aa1" not in said
        assert "MIIE" not in said


@pytest.mark.parametrize("secret", ["token ghp_" + "Aa1" * 12, MADE_UP_KEY], ids=["word", "lines"])
def test_no_secret_is_shown_however_it_comes(secret: str) -> None:
    """Wherever an output is divided, and without a line end, what is shown has no part of a secret."""
    said = f"before\n{secret}\nafter {secret}"
    for place in range(len(said)):
        shown: list[str] = []
        feed = LineFeed(shown.append, is_report_hidden=False)
        for chunk in (said[:place], said[place:]):
            feed.feed(chunk.encode())
        feed.close()

        assert "before" == shown[0]
        assert any(line.startswith("after ") for line in shown)
        assert "Aa1" not in "".join(shown)
        assert "MIIE" not in "".join(shown)


def test_a_key_that_never_ends_does_not_hold_the_output_back() -> None:
    """What is no key is shown once it is longer than one."""
    shown: list[str] = []
    feed = LineFeed(shown.append, is_report_hidden=False)
    feed.feed(b"-----BEGIN PRIVATE KEY-----\n" + b"not a line of one\n" * 5000)

    assert 5000 < len(shown)


async def test_hostile_bytes_are_kept_as_they_are_and_shown_as_text(bench: Any) -> None:
    """What is no UTF-8 is replaced where it is shown and kept where it is stored."""
    outcome = await bench.run(r"printf 'a\377b\033[31mred\342\200\256dlrow\000\n'")

    assert b"a\xffb\x1b[31mred\xe2\x80\xaedlrow\x00\n" == outcome.stdout.read_bytes()
    assert ["a�b\x1b[31mred\u202edlrow\x00"] == bench.shown("stdout")


@pytest.mark.parametrize("start", ["{", "[", "<", "\\357\\273\\277{", " \\n\\t<", "\\n\\n["])
async def test_a_machines_report_is_not_shown(bench: Any, start: str) -> None:
    """A review that begins as JSON or XML does is kept, not shown; complaints are shown."""
    outcome = await bench.run(f"printf '{start}\\nmore\\n'; echo careful >&2")

    assert outcome.stdout.read_bytes().endswith(b"\nmore\n")
    assert [("stderr", "careful")] == bench.lines


async def test_a_fixer_is_shown_whatever_it_begins_with(bench: Any) -> None:
    """Only a review's standard output is a report."""
    await bench.run("echo '[info] working'", kind=StepKind.FIX)

    assert ["[info] working"] == bench.shown("stdout")


async def test_lines_are_shown_while_the_command_runs(bench: Any) -> None:
    """A line is shown when it is printed, not when the command has ended."""
    seen = bench.cwd / "seen"

    async def on_start(child: Any) -> None:
        pass

    outcome = await bench.runner.run(
        StepCommand(
            name="a",
            command="echo first; until test -e seen; do sleep 0.1; done; echo second",
            cwd=bench.cwd,
            timeout_seconds=60,
        ),
        on_start=on_start,
        on_output=lambda _stream, _line: seen.touch(),
    )

    assert "" == outcome.problem
    assert b"first\nsecond\n" == outcome.stdout.read_bytes()


async def test_a_slow_reader_holds_the_command_back(bench: Any) -> None:
    """Who shows lines slowly slows the command; nothing piles up and nothing is lost."""
    shown: list[str] = []

    def on_output(stream: str, line: str) -> None:
        time.sleep(0.0005)
        shown.append(line)

    async def on_start(child: Any) -> None:
        pass

    outcome = await bench.runner.run(
        StepCommand(name="a", command=f"yes {'x' * 999} | head -n 1000", cwd=bench.cwd),
        on_start=on_start,
        on_output=on_output,
    )

    assert ["x" * 999] * 1000 == shown
    assert 0.4 < outcome.duration_seconds


async def test_a_reader_that_fails_ends_the_command(bench: Any, gone: Any) -> None:
    """An error while showing a line reaches the caller, and the command is ended."""

    def on_output(stream: str, line: str) -> None:
        raise BrokenPipeError(line)

    with pytest.raises(BrokenPipeError, match="hello"):
        await bench.runner.run(
            StepCommand(name="a", command="echo hello; sleep 60", cwd=bench.cwd),
            on_start=bench.on_start,
            on_output=on_output,
        )

    assert gone(bench.children[0].pid)


async def test_a_full_disk_is_a_run_error(start_python: Any, tmp_path: Any) -> None:
    """Where the output cannot be kept, the step fails in words and the command is ended."""
    script = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n" + MEASURE
    process = start_python(
        script, str(tmp_path), "trap '' XFSZ; yes | head -c 5000; sleep 60", stderr=-1
    )
    _, complaint = await asyncio.to_thread(process.communicate, timeout=30)
    process.stderr.close()

    assert RunError.__name__ in complaint.decode()
    assert "cannot keep the output" in complaint.decode()


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb"], ["a", "b"]),
        ([b"a\r\n", b"\n"], ["a", ""]),
        ([b"\xe2\x82", b"\xac\n"], ["€"]),
        ([b"\xe2\x82"], ["�"]),
        ([b"x" * 20_000 + b"\n"], ["x" * 8192, "x" * 8192, "x" * 3616]),
        ([b"x" * 9000, b"y\nz"], ["x" * 8192, "x" * 808 + "y", "z"]),
        ([b""], []),
    ],
)
def test_bytes_become_lines(chunks: list[bytes], lines: list[str]) -> None:
    """Lines and characters may be spread over chunks; a long line comes in pieces."""
    shown: list[str] = []
    feed = LineFeed(shown.append, is_report_hidden=False)

    for chunk in chunks:
        feed.feed(chunk)
    feed.close()

    assert lines == shown
