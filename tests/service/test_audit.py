"""Who changed what through the service: one record a change, and one line of its log."""

from __future__ import annotations

from served import Served, until_processed

from mendloop.core.records import records_of
from mendloop.manager import StateManager
from mendloop.stores.port import Store

FINDING = {"severity": "High", "issue_type": "Bug", "description": "an empty name answers 500"}
FIELDS = ("task_id", "from_commit", "to_commit", "do", "by", "door", "op_id", "facts", "link")


async def test_each_change_of_the_service_is_a_line_of_its_log(
    served: Served, store: Store
) -> None:
    """A line of JSON has what the record has: from the door, who it is from, between which commits."""
    replica = served.start()
    replica.wait_until_ready()
    for number in range(3):
        body = {
            "task_id": "42",
            "findings": [FINDING | {"comment_id": f"c{number}"}],
            "author": "ann",
        }
        assert 202 == served.post(replica, body)[0]
    await until_processed(store)
    replica.end()
    async with StateManager(store) as manager:
        commits = (await manager.require_state("42")).ledger.commits
    records = [record for commit in commits for record in records_of("42", commit)]
    lines = [line for line in replica.log() if line["logger"] == "mendloop.audit"]

    assert {"create", "append_feedback"} == {record.do for record in records}
    assert {"feedback"} == {record.door for record in records}
    assert [{name: getattr(record, name) for name in FIELDS} for record in records] == [
        {name: line[name] for name in FIELDS} for line in lines
    ]
