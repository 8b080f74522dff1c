import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mendloop.core.findings import Report
from mendloop.core.text import DESCRIPTION_LIMIT_BYTES, redact_secrets, tidy
from mendloop.intake import FORMATS, read_report

IS_FULL = bool(int(os.environ.get("MENDLOOP_SOAK", "0")))
EXAMPLES = 10_000 if IS_FULL else 500
MIB = 1024 * 1024

HEAD = b'{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":['
TAIL = b"]}]}"
RESULT = json.dumps(
    {
        "ruleId": "F401",
        "level": "error",
        "message": {"text": "`os` imported but unused, and a few words more 😀"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "file:///work/src/app.py"},
                    "region": {"startLine": 12, "startColumn": 8},
                }
            }
        ],
    }
).encode()
CASE = b'<testcase classname="c" name="n"><failure message="m">text</failure></testcase>'
LINE = b'{"severity":"low","issue_type":"Bug","description":"d","line":"7"}\n'

_SEEDS = [
    HEAD + RESULT + b"," + RESULT + TAIL,
    b"<testsuites><testsuite>" + CASE + b"</testsuite></testsuites>",
    LINE * 3,
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><testsuite>&b;</testsuite>',
    b"plain text \x1b[31m\xff\n",
]
_TOKENS = [b"{", b"}", b"[", b"]", b'"', b"\\", b"\\ud800", b"<", b"</", b">", b"&#0;", b"<!--"]
_MUTATED = st.builds(
    lambda seed, start, length, put: seed[:start] + put + seed[start + length :],
    st.sampled_from(_SEEDS),
    st.integers(0, 400),
    st.integers(0, 40),
    st.one_of(st.binary(max_size=20), st.lists(st.sampled_from(_TOKENS), max_size=6).map(b"".join)),
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.one_of(st.binary(max_size=300), _MUTATED),
    form=st.sampled_from([None, *FORMATS]),
    known=st.sampled_from([None, *FORMATS]),
    exit_code=st.sampled_from([0, 1, 2, 127, -9]),
)
def test_no_bytes_whatever_make_reading_fail(
    data: bytes, form: str | None, known: str | None, exit_code: int
) -> None:
    """Every input is a report whose texts can be kept, and incomplete says why."""
    report = read_report(
        data,
        reviewer="r",
        format=form,
        exit_code=exit_code,
        is_cut=False,
        known_format=known,
        context=lambda _path, _line: "context",
        root=PurePosixPath("/work"),
    )

    assert report.is_complete == (not report.problem)
    assert report.format in FORMATS
    for text in [report.problem, *(finding.description for finding in report.findings)]:
        tidy(text, limit_bytes=DESCRIPTION_LIMIT_BYTES, redact=redact_secrets).encode()
    for finding in report.findings:
        assert finding.description
        assert 0 <= finding.line < 2**31


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.sampled_from(_SEEDS[:2]), size=st.integers(1, 2_000), exit_code=st.integers(0, 1))
def test_a_beginning_is_never_a_whole_report_with_less(
    seed: bytes, size: int, exit_code: int
) -> None:
    """A document cut anywhere is incomplete, or it still has every finding."""
    said = {"reviewer": "r", "format": None, "exit_code": exit_code, "is_cut": False}
    whole, cut = read_report(seed, **said), read_report(seed[:size], **said)

    assert not cut.is_complete or whole.findings == cut.findings


def _filled(head: bytes, unit: bytes, tail: bytes, size_bytes: int) -> bytes:
    return head + unit * ((size_bytes - len(head) - len(tail)) // len(unit)) + tail


def _results(unit: bytes, size_bytes: int) -> bytes:
    return _filled(HEAD + unit, b"," + unit, TAIL, size_bytes)


BOMBS: dict[str, Callable[[int], bytes]] = {
    "sarif": lambda size: _results(RESULT, size),
    "sarif of tiny results": lambda size: _results(b"{}", size),
    "sarif of numbers": lambda size: _results(b"1", size),
    "sarif of nested lists": lambda size: HEAD + b"[" * (size // 2) + b"]" * (size // 2) + TAIL,
    "sarif of tiny places": lambda size: (
        HEAD + _filled(b'{"locations":[{}', b",{}", b"]}", size) + TAIL
    ),
    "sarif of rules": lambda size: _filled(
        b'{"version":"2.1.0","runs":[{"results":[{"ruleId":"z"}],"tool":{"driver":{"name":"t",'
        b'"rules":[{"id":"a"}',
        b',{"id":"a"}',
        b"]}}}]}",
        size,
    ),
    "sarif of runs": lambda size: _filled(
        b'{"version":"2.1.0","runs":[1', b',{"tool":{"driver":{"name":""}}}', b"]}", size
    ),
    "junit": lambda size: _filled(b"<testsuite>", CASE, b"</testsuite>", size),
    "junit of tiny elements": lambda size: _filled(b"<testsuite>", b"<a/>", b"</testsuite>", size),
    "junit of deep elements": lambda size: _filled(b"<testsuite>", b"<a>", b"", size),
    "junit of one attribute": lambda size: _filled(
        b'<testsuite><testcase name="\xf0\x9f\x98\x80', b"x", b'"/></testsuite>', size
    ),
    "junit of one text": lambda size: _filled(
        b'<testsuite><testcase name="x"><failure>',
        b"a b\n",
        b"</failure></testcase></testsuite>",
        size,
    ),
    "jsonl": lambda size: _filled(LINE, LINE, b"", size),
    "jsonl of one member": lambda size: _filled(LINE[:-2], b',"a":[]', b"}", size),
    "jsonl of broken lines": lambda size: _filled(LINE, b"{\n", b"", size),
    "text": lambda size: _filled(b"", b"one line of output \xff\n", b"", size),
    "text of newlines": lambda size: _filled(b"x", b"\n", b"", size),
    "text of wide characters": lambda size: _filled(b"", b"\xf0\x9f\x98\x80\n", b"", size),
}

_MEASURE = """
import sys
from pathlib import Path, PurePosixPath
from mendloop.intake import read_report

def peak_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

data = Path(sys.argv[1]).read_bytes()
read_report(b"<testsuite/>", reviewer="r", format=None, exit_code=0, is_cut=False)
before = peak_kib()
report = read_report(
    data, reviewer="r", format=None, exit_code=1, is_cut=False, root=PurePosixPath("/work"),
    context=lambda path, line: f"context {line}",
)
print(peak_kib() - before, len(report.findings))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read in /proc")
@pytest.mark.parametrize("name", BOMBS)
def test_a_report_of_16_mib_takes_little_memory(name: str, tmp_path: Path) -> None:
    """Whatever its shape, it is read within 100 MiB and a minute; a tenth of it in a tenth."""
    size_bytes, limit_mib = (16 * MIB, 100) if IS_FULL else (MIB * 8 // 5, 20)
    file = tmp_path / "report"
    file.write_bytes(BOMBS[name](size_bytes))
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(file)], capture_output=True, check=True, text=True
    )
    peak_kib, _ = map(int, done.stdout.split())

    assert peak_kib / 1024 < limit_mib
    assert time.monotonic() - started < 60


def test_more_findings_than_can_be_kept_are_a_cut_report(
    read: Callable[..., Report],
) -> None:
    """The first hundred thousand are kept, and the report resolves nothing."""
    report = read(LINE * 100_050)

    assert 100_000 == len(report.findings)
    assert report.problem == "more than 100000 findings; only the first of them are kept"
    assert not report.is_complete
