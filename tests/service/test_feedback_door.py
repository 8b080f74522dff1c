from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from patience import eventually
from served import Served, get_json, is_processed, until_processed

from mendloop.manager import StateManager
from mendloop.stores.port import Store

FINDING = {"severity": "High", "issue_type": "Bug", "description": "an empty name answers 500"}


async def test_a_posted_finding_is_in_its_task(served: Served, store: Store) -> None:
    """A finding that was posted makes the task that it names, and is there once it is processed."""
    replica = served.start()
    replica.wait_until_ready()
    healthy = (200, {"status": "ok", "reason": ""})
    assert healthy == get_json(f"{replica.admin}/healthz") == get_json(f"{replica.admin}/readyz")
    status, answer = served.post(replica, {"task_id": "42", "findings": [FINDING], "author": "ann"})
    assert (202, "queued") == (status, answer["result"])
    await until_processed(store)
    async with StateManager(store) as manager:
        (entry,) = await manager.get_feedback_history("42")
    assert "an empty name answers 500" == entry.description
    assert "ann" == entry.author


async def test_a_delivery_that_comes_again_changes_nothing(served: Served, store: Store) -> None:
    """The same delivery, five times and by two replicas, is one finding and one change."""
    replicas = [served.start(), served.start()]
    for replica in replicas:
        replica.wait_until_ready()
    body = {"task_id": "42", "findings": [FINDING], "id": "delivery-1"}
    for turn in range(5):
        assert 202 == served.post(replicas[turn % 2], body)[0]
    await until_processed(store)
    async with StateManager(store) as manager:
        state = await manager.require_state("42")
    assert 1 == state.findings_total
    assert ["create", "append_feedback"] == [
        change.do for commit in state.ledger.commits for change in commit.changes
    ]


async def test_a_gitlab_webhook_is_let_in_by_its_own_header(served: Served, store: Store) -> None:
    """The token may stand where GitLab sends it, beside its other headers; a wrong one is refused there too."""
    replica = served.start()
    replica.wait_until_ready()
    body = json.dumps({"task_id": "42", "findings": [FINDING], "author": "ann"}).encode()
    gitlab = {"X-Gitlab-Event": "Note Hook", "Content-Type": "application/json"}
    url = f"{replica.intake}/v1/feedback"
    wrong, _ = get_json(url, body, gitlab | {"X-Gitlab-Token": "u" * 32})
    status, answer = get_json(url, body, gitlab | {"X-Gitlab-Token": served.token})
    await until_processed(store)

    assert (401, 202, "queued") == (wrong, status, answer["result"])
    async with StateManager(store) as manager:
        assert 1 == (await manager.require_state("42")).findings_total


NO_FEEDBACK = (
    (b"{", "middle"),
    (b"[]", "object"),
    (b"\xff\xfe{\x00}", ""),
    (b"[" * 100_000, ""),
    (json.dumps({"task_id": "42", "findings": []}).encode(), "findings"),
    (json.dumps({"task_id": "A b", "findings": [FINDING]}).encode(), "task id"),
    (json.dumps({"findings": [FINDING]}).encode(), "task_id"),
    (json.dumps({"task_id": "42", "findings": [{"severity": "High"}]}).encode(), "issue_type"),
    (
        json.dumps({"task_id": "42", "findings": [FINDING | {"severity": "high"}]}).encode(),
        "known are: Low, Medium, High, Critical",
    ),
)


async def test_what_is_no_feedback_is_refused_with_the_reason(served: Served, store: Store) -> None:
    """A sender hears what is wrong with its body or its token, and leaves nothing behind."""
    replica = served.start()
    replica.wait_until_ready()
    for body, reason in NO_FEEDBACK:
        status, answer = served.post(replica, body)
        assert 422 == status
        assert reason in answer["reason"]
    good = {"task_id": "42", "findings": [FINDING]}
    for header in ("", "Bearer wrong", "Basic dDp0", "t" * 31, "\xe9"):
        assert 401 == served.post(replica, good, Authorization=header)[0], header
    assert 413 == served.post(replica, b" " * 600_000)[0]
    assert 415 == served.post(replica, b"{}", **{"Content-Encoding": "gzip"})[0]
    assert await is_processed(store)
    assert 401 == get_json(f"{replica.intake}/v1/github", b"{}")[0]
    assert 404 == get_json(f"{replica.admin}/other")[0]


async def test_what_a_killed_replica_took_in_is_processed_by_another(
    served: Served, store: Store, scaled: Callable[[int, int], int]
) -> None:
    """Each acknowledged delivery is processed, though replicas are killed among them."""
    served.start().wait_until_ready()
    served.start().wait_until_ready()
    acknowledged: set[str] = set()
    chooser = random.Random(5)

    def deliver(number: int) -> None:
        body = {
            "task_id": f"t-{number % 7}",
            "findings": [FINDING | {"comment_id": f"c-{number}"}],
            "id": f"d-{number}",
        }
        living = [one for one in served.replicas if one.intake and one.process.poll() is None]
        try:
            status, _ = served.post(chooser.choice(living), body)
        except OSError:
            return  # its replica was killed: nobody has acknowledged it
        if status == 202:
            acknowledged.add(f"c-{number}")

    count = scaled(2000, 200)
    for batch in range(4):
        with ThreadPoolExecutor(8) as pool:
            for number in range(batch * count // 4, (batch + 1) * count // 4):
                pool.submit(deliver, number)
            served.replicas[batch].kill()
            served.start()
        served.replicas[-1].wait_until_ready()
    await until_processed(store, seconds=90)
    async with StateManager(store) as manager:
        kept = [
            entry.pr_comment_id
            for task in range(7)
            for entry in await manager.get_feedback_history(f"t-{task}")
        ]
    assert len(kept) == len(set(kept))
    assert acknowledged <= set(kept)
    assert len(acknowledged) > count // 2


async def test_sigterm_ends_it_in_good_order(served: Served, store: Store) -> None:
    """A replica that is asked to end ends with 0 within 20 s, and gives the lead back."""
    replica = served.start()
    replica.wait_until_ready()
    await eventually(lambda: replica.metric("mendloop_leader") == 1)
    assert 202 == served.post(replica, {"task_id": "42", "findings": [FINDING]})[0]
    assert 0 == replica.end()
    assert await is_processed(store)
    second = served.start()
    second.wait_until_ready()
    await eventually(lambda: second.metric("mendloop_leader") == 1, seconds=12)
