"""
No secret gets into a store, a log, a metric or a message, by whatever door it comes.

Secrets of many kinds are planted in every text that a door takes, and then searched for in all that
was left behind. What every other test leaves is searched too, see `audited`. What is set aside byte for byte is the stated exception, and no test here
damages a state.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from urllib.request import urlopen
from xml.sax.saxutils import escape

import github_payloads as payloads
import msgspec
import pytest
from cli_user import User
from hook_sender import CONFIG, Hook, headers_of, hook
from leaks import leaks_of
from planted import Planted, in_cluster, in_sqlite
from sarif_log import result_at, sarif
from served import Served, get_json, until_processed

from mendloop.core import commands
from mendloop.core.commands import Command
from mendloop.core.errors import StateError
from mendloop.core.findings import RawFinding, Report
from mendloop.core.model import FeedbackEntry, Finding, LifeChange, Settings
from mendloop.core.run import Child, Holder
from mendloop.core.vocabulary import (
    CommentEvent,
    IssueType,
    Life,
    Severity,
    StepKind,
    StopReason,
)
from mendloop.manager import StateManager
from mendloop.stores.port import Store

_IS_SOAK = int(os.environ.get("MENDLOOP_SOAK", "0"))
_NOW = datetime.now(UTC)
_MARK = b"[redacted: github token]"

Told = list[bytes]
"""What was said on the way: answers, errors, output, logs."""


def _kept(served: Served, request: pytest.FixtureRequest) -> Told:
    """All that is in the store."""
    if served.spec == "kubernetes":
        cluster = request.getfixturevalue("control_plane")
        return list(in_cluster(cluster, request.getfixturevalue("namespace")))
    return list(in_sqlite(Path(served.spec.removeprefix("sqlite:"))))


def _raw(text: str) -> dict[str, msgspec.Raw]:
    """A member that mendloop does not know."""
    return {"theirs": msgspec.Raw(json.dumps({"note": text, text: ["deep", text]}).encode())}


def _entry(planted: Planted, place: str, **changed: Any) -> FeedbackEntry:
    def text(name: str) -> str:
        return planted.text(f"{place}: {name}")

    given = FeedbackEntry(
        timestamp=_NOW,
        author=text("author"),
        severity=Severity.HIGH,
        issue_type=IssueType.BUG,
        description=text("description"),
        resolved=False,
        pr_comment_id=planted.line(f"{place}: comment id"),
        mendloop=Finding(
            fingerprint="",
            source=text("source"),
            rule=text("rule"),
            path=text("path"),
            context=text("context"),
            note=text("note"),
            lives=(
                LifeChange(life=Life.OPEN, at=_NOW, iteration=0, by=text("by"), why=text("why")),
            ),
            extra=_raw(text("unknown member of ours")),
        ),
        extra=_raw(text("unknown member")),
    )
    return msgspec.structs.replace(given, **changed)


def _commands(planted: Planted, comment_id: str) -> Iterator[tuple[str, Command]]:
    """Every command that there is, with a secret in each text, and the task that it is for."""
    text, line = planted.text, planted.line
    holder = Holder(name=text("holder"), token="run", extra=_raw(text("holder: extra")))  # noqa: S106 - none
    child = Child(boot_id=line("boot"), pid_namespace=line("pids"), pid=1, start_ticks=1, token="t")  # noqa: S106 - none
    raw = RawFinding(
        severity=Severity.LOW,
        issue_type=IssueType.BUG,
        description=text("report: description"),
        tool=line("report: tool"),
        rule=text("report: rule"),
        path=text("report: path"),
        identity=text("report: identity"),
        context=text("report: context"),
        author=text("report: author"),
        comment_id=line("report: comment id"),
        note=text("report: note"),
        commit=text("report: commit of a finding"),
    )
    report = Report(
        reviewer=line("report: reviewer"),
        format=line("report: format"),
        findings=(raw,),
        tools=(line("report: tools"),),
        is_complete=False,
        problem=text("report: problem"),
        commit=text("report: commit"),
    )
    settings = Settings(extra=_raw(text("settings: unknown member")))
    entry = _entry(planted, "append", pr_comment_id=comment_id)
    yield "a", commands.Create(settings=settings)
    yield "a", commands.AppendFeedback(entries=(entry,), commit=text("append: commit"))
    yield "a", commands.AppendFeedback(entries=(entry, _entry(planted, "second")))
    comment = _entry(planted, "comment")
    yield (
        "a",
        commands.RecordComment(
            entry=comment, event=CommentEvent.CREATED, at=_NOW, by=text("comment: by")
        ),
    )
    yield "a", commands.RecordTip(commit=text("tip"))
    yield "a", commands.RecordTip(commit="a" * 40)
    yield (
        "a",
        commands.Judge(life=Life.DISMISSED, names=(comment_id,), reason=text("judge: reason")),
    )
    yield "a", commands.Judge(life=Life.DISMISSED, names=(text("judge: name"),), reason="why")
    yield (
        "a",
        commands.AcquireLease(
            holder=holder, ttl_seconds=60, boottime_seconds=1, tree=text("work tree")
        ),
    )
    yield "a", commands.RecordChild(generation=1, child=child)
    yield "a", commands.RenewLease(generation=1, boottime_seconds=2)
    yield "a", commands.Configure(settings=Settings(max_iterations=20), generation=1)
    yield "a", commands.Increment(generation=1)
    yield (
        "a",
        commands.BeginStep(generation=1, kind=StepKind.REVIEW, tree=text("review: tree before")),
    )
    yield (
        "a",
        commands.RecordReview(generation=1, reports=(report,), tree=text("review: tree after")),
    )
    yield "a", commands.BeginStep(generation=1, kind=StepKind.FIX, tree=text("fix: tree before"))
    yield (
        "a",
        commands.RecordFix(
            generation=1, tree=text("fix: tree after"), problem=text("fix: problem")
        ),
    )
    yield (
        "a",
        commands.Finish(
            generation=1,
            reason=StopReason.STEP_FAILED,
            detail=text("finish: detail"),
            tree=text("finish: tree"),
        ),
    )
    yield "a", commands.ReleaseLease(generation=1)
    yield "a", commands.Resume()
    yield "a", commands.Pause(reason=text("pause: reason"))
    yield "a", commands.Order(order=commands.Stop(reason=text("order: reason")))
    yield "a", commands.Compress()
    yield "a", commands.Hold(reason=text("hold: reason"))
    yield "a", commands.EndHold()
    yield (
        "a",
        commands.Recover(
            repaired=(text("repaired"),), lost=(text("lost"),), quarantined=(), source=""
        ),
    )
    yield "a", commands.Delete(reason=text("delete: reason"))
    yield "a", commands.Restore()
    yield "b", commands.Create()
    yield "b", commands.Stop(reason=text("stop: reason"))
    yield "b", commands.Delete(reason="over")
    yield "b", commands.BeginRemoval(deleted_until=datetime.now(UTC))
    yield "c", commands.Create()
    yield "c", commands.Bury(reason=text("bury: reason"))


async def _submitted(
    manager: StateManager, task_id: str, command: Command, op_id: str | None = None
) -> Iterator[bytes]:
    """What the caller of one command is told."""
    try:
        done = await manager.submit(task_id, command, op_id=op_id)
    except StateError as error:
        parts = [*traceback.format_exception(error), repr(error), str(vars(error))]
        return (part.encode() for part in parts)
    return iter([repr(done).encode()])


async def _through_library(planted: Planted, served: Served, store: Store, _folder: Path) -> Told:
    """Every command, with every text of it, by somebody whose name holds one."""
    told: Told = []
    comment_id = planted.line("append: comment id")
    done = set()
    async with StateManager(store, by=planted.text("by"), door=planted.line("door")) as manager:
        for number, (task_id, command) in enumerate(_commands(planted, comment_id)):
            done.add(type(command))
            op_id = planted.line(f"operation id {number}")
            for _again in range(2):
                told += await _submitted(manager, task_id, command, op_id)
        state = await manager.require_state("a")
        assert 4 == state.findings_total, "a finding that came twice is one"
        assert any(b"'changed': 1" in one for one in told), (
            "it is judged by the id that it came with"
        )
        ledger = msgspec.structs.replace(
            state.ledger,
            stop_detail=planted.text("put: stop detail"),
            extra=_raw(planted.text("put: unknown member of ours")),
        )
        key = planted.line("put: metadata key")
        given = msgspec.structs.replace(
            state,
            feedback_history=(*state.feedback_history, _entry(planted, "put")),
            error_messages=(planted.text("put: error message"),),
            metadata={key: planted.text("put: metadata value"), f"{key} 2": "x"},
            mendloop=ledger,
            extra=_raw(planted.text("put: unknown member")),
        )
        await manager.create_or_update_state(given, op_id=planted.line("put: operation id"))
        done.add(commands.PutState)
        other = msgspec.structs.replace(given, task_id=planted.text("put: task id"))
        told += await _submitted(manager, "a", commands.PutState(state=other))
        told += await _submitted(manager, planted.text("task id"), commands.Create())
        state = await manager.require_state("a")
        assert 2 == len([key for key in state.metadata if "redacted" in key]), state.metadata
        told.append(repr(state).encode())

    assert set(get_args(Command)) == done
    return told


def _report_files(planted: Planted) -> Mapping[str, str]:
    """A report in each format, with secrets in each text that is read of it."""

    def text(name: str) -> str:
        return planted.text(f"report file: {name}")

    result = result_at("src/a.py", line=3) | {
        "message": {"text": text("sarif message")},
        "ruleId": planted.line("report file: sarif rule"),
        "level": "error",
        "partialFingerprints": {"p/v1": text("sarif fingerprint")},
    }
    lines = {
        name: text(f"jsonl {name}")
        for name in ("description", "author", "path", "rule", "tool", "identity", "commit")
    }
    lines |= {"comment_id": planted.line("report file: jsonl comment id")}
    lines |= {"severity": "High", "issue_type": "Bug"}
    failure = escape(text("junit failure"))
    case = escape(planted.line("report file: junit case"), {'"': "&quot;"})
    return {
        "a.sarif": sarif(result, driver={"name": planted.line("report file: sarif tool")}),
        "b.xml": f'<testsuite name="s"><testcase classname="c" name="{case}">'
        f'<failure message="m">{failure}</failure></testcase></testsuite>',
        "c.jsonl": json.dumps(lines),
        "d.txt": text("plain"),
        "e.md": payloads.MARKED + text("comment"),
        "f.json": "{" + text("damaged"),
    }


async def _through_command_line(
    planted: Planted, served: Served, _store: Store, folder: Path
) -> Told:
    """Options, reports and outputs of programs that it runs, and each way to show what is kept."""
    user = User(folder)
    user.environment |= served.environment | {"XDG_STATE_HOME": str(folder / "state")}
    text, line = planted.text, planted.line
    for name, content in _report_files(planted).items():
        user.write(name, content)
    user.write("said", text("fixer's output"))
    user.write("complaint", text("fixer's complaint"))
    bundle, cto = folder / "bundle", folder / "cto.json"
    cto.write_text(json.dumps(_foreign(planted)))
    finding = ("--severity", "high", "--issue-type", "bug", "--description", text("add"))
    names = ("--author", line("author"), "--comment-id", line("comment id"))
    where = ("--path", line("path"), "--op-id", line("op id"), "--by", line("by"))
    reviews = [part for name in ("a.sarif", "b.xml", "c.jsonl", "d.txt", "e.md", "f.json") for part in ("--review", f"cat {name}; exit 1")]  # fmt: skip
    calls: list[tuple[str, ...]] = [
        ("increment", "t", "--by", line("increment: by")),
        ("feedback", "add", "t", *finding, *names, *where),
        ("feedback", "add", "t", *finding, "--commit", line("commit")),
        ("feedback", "dismiss", "t", line("no finding"), "--reason", text("dismiss")),
        ("pause", "t", "--reason", text("pause")),
        ("resume", "t"),
        ("run", "r", *reviews, "--fix", "cat said; cat complaint >&2; exit 3", "--step-attempts", "1"),
        ("-o", "json", "run", "s", *reviews, "--fix", "cat said; cat complaint >&2; date >x", "--max-iterations", "1"),
        ("stop", "t", "--reason", text("stop")),
        ("hold", "t", "--reason", text("hold")),
        ("hold", "t", "--release"),
        ("delete", "t", "--reason", text("delete")),
        ("restore", "t"),
        ("restore", "t", "--from", line("copy")),
        ("import", str(cto), "--from", "cto", "--by", line("import: by")),
        ("delete", "t", "--reason", text("delete again")),
        ("export", "--all", str(bundle)),
        ("import", str(bundle), "--by", line("import of a bundle: by")),
        ("cleanup", "--grace", "1s", "--by", line("cleanup: by")),
        ("audit", "--log"),
        ("show", line("no task")),
        (line("no command"),),
        ("feedback", "list", "r", "--author", line("whose")),
        *((name, task) for name, task in (("show", "r"), ("history", "r"), ("explain", "s"))),
        *(("-o", "json", name, "r") for name in ("show", "history", "explain", "audit")),
        ("list",),
        ("doctor",),
    ]  # fmt: skip
    if served.spec == "kubernetes" and not _IS_SOAK:
        # Each is a process of its own, and what it does before it comes to a store is the same.
        calls = [
            call for call in calls if call[0] in {"feedback", "run", "import", "export", "audit"}
        ]
    told: Told = []
    for arguments in calls:
        done = user(*_with_store(served.spec, arguments), MENDLOOP_DEBUG="1")
        told += [done.out.encode(), done.err.encode()]
        for event in done.out.splitlines():
            told.append(event.encode())
    assert bundle.exists()
    # What a reviewer printed is kept as it came, for its owner alone, until the next review.
    left = [path for path in (folder / "state").rglob("*") if path.is_file()]
    return [
        *told,
        bundle.read_bytes(),
        *(path.read_bytes() for path in left if not _is_capture(path)),
    ]


def _with_store(spec: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    return ("--store", spec, *arguments)


def _is_capture(path: Path) -> bool:
    is_private = path.stat().st_mode & 0o077 == 0
    return is_private and path.suffix in {".stdout", ".report"}


def _foreign(planted: Planted) -> dict[str, Any]:
    """A state of the other controller."""
    state = {
        "pr_number": 5,
        "task_id": "1",
        "status": "InProgress",
        "iteration": 1,
        "workflow_id": planted.line("cto: workflow"),
        "feedback_history": [
            {
                "id": planted.line("cto: id"),
                "author": planted.text("cto: author"),
                "feedback": {
                    "description": planted.text("cto: description"),
                    "severity": planted.line("cto: severity"),
                    "more": planted.text("cto: more"),
                },
                "actions_taken": [planted.text("cto: action")],
            }
        ],
        "error_messages": [planted.text("cto: error")],
        "metadata": {planted.line("cto: key"): planted.text("cto: value")},
        "unknown": {"deep": planted.text("cto: unknown")},
    }
    return {
        "kind": "ConfigMap",
        "metadata": {"name": "remediation-state-pr-5-task-1"},
        "data": {"state.json": json.dumps(state), "beside": planted.text("cto: beside")},
    }


def _hooks(planted: Planted) -> Iterator[Hook]:
    """Deliveries with secrets in each text that is kept of them, or quoted."""

    def text(name: str) -> str:
        return planted.text(f"github: {name}")

    labels = {"labels": [{"name": "task-42"}, {"name": planted.line("github: label")}]}
    yield hook("issue_comment", payloads.issue_comment(body=payloads.MARKED + text("comment")))
    yield hook("issue_comment", payloads.issue_comment(id=44, body=f"/pause {text('order')}"))
    yield hook(
        "pull_request_review",
        payloads.review(
            body=text("review"), event={"pull_request": payloads.pull_request(**labels)}
        ),
    )
    yield hook(
        "pull_request_review_comment",
        payloads.review_comment(body=text("line comment"), path=planted.line("github: path")),
    )
    output = {name: text(f"check {name}") for name in ("title", "summary", "text")}
    yield hook("check_run", payloads.check_run(name=planted.line("github: check"), output=output))
    stranger = payloads.account(planted.line("github: login"))
    yield hook("issue_comment", payloads.issue_comment(id=45, user=stranger))
    branch = {"ref": f"task-43-{planted.line('github: branch')}", "sha": payloads.HEAD}
    branch["repo"] = {"id": 9}
    pull = payloads.pull_request(head=branch, labels=[])
    yield hook("pull_request_review", payloads.review(event={"pull_request": pull}, id=22))
    odd = payloads.pull_request(labels=[{"name": f"task-{text('odd label')}"}])
    yield hook("pull_request_review", payloads.review(event={"pull_request": odd}, id=23))
    yield Hook("issue_comment", b'{"action": "' + text("no JSON").encode(), "d" * 32)


async def _through_service(planted: Planted, served: Served, store: Store, folder: Path) -> Told:
    """Deliveries, posts, and requests that are refused; logs, metrics and answers are searched."""
    config = folder / "service.toml"
    config.write_text(CONFIG)
    replica = served.start("--config", str(config))
    replica.wait_until_ready()
    told: Told = []

    def asked(url: str, body: bytes | None, headers: Mapping[str, str]) -> int:
        status, answer = get_json(url, body, headers)
        told.append(json.dumps(answer).encode())
        return status

    github = f"{replica.intake}/v1/github"
    statuses = [asked(github, one.body, headers_of(one, served.secret)) for one in _hooks(planted)]
    assert 202 in statuses
    forged = {"X-Hub-Signature-256": planted.line("signature"), "X-GitHub-Event": "x"}
    assert 401 == asked(github, planted.text("unsigned").encode(), forged)

    def text(name: str) -> str:
        return planted.text(f"post: {name}")

    finding = {
        name: text(name) for name in ("description", "author", "path", "rule", "tool", "identity")
    }
    finding |= {"severity": "High", "issue_type": "Bug", "commit": planted.line("post: commit")}
    named = finding | {"comment_id": planted.line("post: comment id")}
    post = {"task_id": "44", "findings": [finding, named], "author": text("whole author")}
    post |= {"id": planted.line("post: id")}
    assert [202] * 3 == [served.post(replica, post)[0] for _ in range(3)]
    for bad in (
        post | {"task_id": text("task id")},
        post | {"findings": [{"severity": text("severity")}]},
    ):
        status, answer = served.post(replica, bad)
        assert 422 == status
        told.append(json.dumps(answer).encode())
    wrong = {"Authorization": f"Bearer {planted.line('token')}"}
    assert 401 == asked(f"{replica.intake}/v1/feedback", b"{}", wrong)
    await until_processed(store)
    async with StateManager(store) as manager:
        state = await manager.require_state("44")
        assert 2 == state.findings_total, "a post that came again is one"
    told += [_page(f"{replica.admin}/{page}") for page in ("metrics", "healthz", "readyz")]
    replica.end()
    log = replica.log_path.read_bytes()
    return [*told, log, *log.splitlines()]


def _page(url: str) -> bytes:
    with urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
        return bytes(answer.read())


Door = Callable[[Planted, Served, Store, Path], Awaitable[Told]]


@pytest.mark.parametrize("door", [_through_library, _through_command_line, _through_service])
async def test_a_secret_that_is_planted_is_nowhere_left(
    door: Door, served: Served, store: Store, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Nothing that is stored, told or logged has it, but the mark of it is there."""
    planted = Planted(seed=11)
    folder = tmp_path / "user"
    folder.mkdir()

    told = await door(planted, served, store, folder)

    assert len(planted.secrets) > 100
    kept = _kept(served, request)
    assert set() == planted.found_in(kept)
    assert set() == planted.found_in(told)
    assert _MARK in b"".join(kept)


@pytest.mark.leaks
async def test_the_search_finds_what_is_left(
    served: Served, store: Store, request: pytest.FixtureRequest
) -> None:
    """Where nothing is redacted, each planted text is found in the store, however it is packed."""
    planted = Planted(seed=12)
    async with StateManager(store, by=planted.text("by"), redact=lambda text: text) as manager:
        await manager.create_task("a")
        entries = [_entry(planted, f"{number}", mendloop=msgspec.UNSET) for number in range(30)]
        await manager.append_feedback("a", *entries)
        await manager.compress_feedback_history("a")

    found = planted.found_in(_kept(served, request))

    assert {f"{number}: description" for number in range(30)} | {"by"} <= found
    assert [] != await leaks_of(store)


_LOGGED = """
import logging, sys
from mendloop.core.text import redact_secrets
from mendloop.service.logs import configure_logs

configure_logs(redact=redact_secrets)
text = sys.stdin.read()
log = logging.getLogger("x")
try:
    raise OSError(text)
except OSError as error:
    log.exception("it failed: %s", error, extra={"deep": {text: [text, error]}, "error": error})
log.warning(text)
"""


def test_a_log_line_has_no_secret_wherever_it_stands() -> None:
    """Neither in the message, nor in a traceback, nor deep in what is logged with it."""
    planted = Planted(seed=13)

    done = subprocess.run(
        [sys.executable, "-c", _LOGGED],
        input=planted.text("logged").encode(),
        capture_output=True,
        check=True,
    )

    lines = done.stderr.splitlines()
    assert 2 == len(lines)
    assert {"deep", "error", "exception"} <= json.loads(lines[0]).keys()
    assert set() == planted.found_in([done.stderr, *lines])
