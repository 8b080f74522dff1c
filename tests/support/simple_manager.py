"""
A small manager of its own that is right, until one fault is planted in it.

It keeps the specification's document alone, one versioned write for each operation, and the
operation ids in its metadata. Only for showing that the checks tell right from wrong.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from mendloop.core.errors import (
    DocumentExists,
    LeaseLost,
    RevisionConflict,
    StateExists,
    StoreUnavailable,
)
from mendloop.stores.port import Document, Store

__all__ = ["FAULTS", "SimpleManager"]

FAULTS = (
    "writes without a version",
    "creates by overwriting",
    "appends blindly",
    "drops only neighbouring duplicates",
    "retries without memory",
    "lowers the counter",
    "answers from its cache",
    "writes without the lease",
    "lets a linter resolve for people",
    "gives two callers one number",
)


class SimpleManager:
    """Increments, deliveries, whole states and a lease, with at most one fault."""

    def __init__(self, store: Store, fault: str = "") -> None:
        assert fault in {"", *FAULTS}
        self._store = store
        self._fault = fault
        self._cached: dict[str, Any] = {}
        self._number = 0

    async def create_task(self, task_id: str) -> None:
        empty = {"iteration": 0, "findings": [], "done": {}, "generation": 0}
        body = json.dumps(empty).encode()
        try:
            await self._store.create("head", task_id, body)
        except DocumentExists:
            if self._fault != "creates by overwriting":
                raise StateExists from None
            current = await self._store.get("head", task_id)
            assert current is not None
            await self._write(current, empty)

    async def increment_iteration(self, task_id: str, *, op_id: str = "") -> int:
        def count(state: dict[str, Any]) -> int:
            state["iteration"] += 1
            return int(state["iteration"])

        number = await self._change(task_id, op_id, count)
        if self._fault == "gives two callers one number" and number % 7 == 0:
            return self._number
        self._number = number
        return number

    async def get_current_iteration(self, task_id: str) -> int:
        if self._fault == "answers from its cache" and task_id in self._cached:
            return int(self._cached[task_id]["iteration"])
        return int((await self._read(task_id))[1]["iteration"])

    async def deliver(self, task_id: str, comment_id: str, text: str) -> None:
        def add(state: dict[str, Any]) -> None:
            findings = state["findings"]
            seen = [found["id"] for found in findings]
            if self._fault == "appends blindly":
                seen = []
            if self._fault == "drops only neighbouring duplicates":
                seen = seen[-1:]
            if comment_id not in seen:
                findings.append({"id": comment_id, "text": text, "by": "person", "open": True})

        await self._change(task_id, "", add)

    async def review(self, task_id: str, names: list[str]) -> None:
        def take(state: dict[str, Any]) -> None:
            for found in state["findings"]:
                if found["by"] == "tool" or self._fault == "lets a linter resolve for people":
                    found["open"] = found["id"] in names
            known = {found["id"] for found in state["findings"]}
            state["findings"] += [
                {"id": name, "text": name, "by": "tool", "open": True}
                for name in names
                if name not in known
            ]

        await self._change(task_id, "", take)

    async def open_ids(self, task_id: str) -> list[str]:
        return [f["id"] for f in (await self._read(task_id))[1]["findings"] if f["open"]]

    async def all_ids(self, task_id: str) -> list[str]:
        return [found["id"] for found in (await self._read(task_id))[1]["findings"]]

    async def put_iteration(self, task_id: str, iteration: int) -> None:
        def put(state: dict[str, Any]) -> None:
            if self._fault == "lowers the counter" or iteration >= state["iteration"]:
                state["iteration"] = iteration

        await self._change(task_id, "", put)

    async def take_lease(self, task_id: str) -> int:
        def take(state: dict[str, Any]) -> int:
            state["generation"] += 1
            return int(state["generation"])

        return await self._change(task_id, "", take)

    async def increment_as(self, task_id: str, generation: int) -> None:
        def count(state: dict[str, Any]) -> None:
            if state["generation"] != generation and self._fault != "writes without the lease":
                raise LeaseLost
            state["iteration"] += 1

        await self._change(task_id, "", count)

    async def close(self) -> None:
        """Nothing is kept."""

    async def _read(self, task_id: str) -> tuple[Document, dict[str, Any]]:
        document = await self._store.get("head", task_id)
        assert document is not None
        return document, json.loads(document.body)

    async def _change(self, task_id: str, op_id: str, change: Any) -> Any:
        while True:
            document, state = await self._read(task_id)
            if op_id and op_id in state["done"] and self._fault != "retries without memory":
                return state["done"][op_id]
            result = change(state)
            if op_id:
                state["done"][op_id] = result
            await asyncio.sleep(0)
            try:
                await self._write(document, state)
            except RevisionConflict:
                continue
            except StoreUnavailable:
                if op_id:
                    continue
                raise
            self._cached[task_id] = state
            return result

    async def _write(self, document: Document, state: dict[str, Any]) -> None:
        body = json.dumps(state).encode()
        while True:
            try:
                await self._store.replace(document, body)
            except RevisionConflict:
                if self._fault != "writes without a version":
                    raise
                current = await self._store.get(document.kind, document.key)
                assert current is not None
                document = current
            else:
                return
