"""
A controller that drives every task of a namespace to its end, in as many replicas as you like.

    python examples/reconcile.py NAMESPACE REVIEW_COMMAND FIX_COMMAND

Level-triggered: it looks at a task, asks `decide` for the next step, does that one, and looks again.
Nothing in its memory is missed after a restart. A platform starts Jobs where this starts commands.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from contextlib import aclosing

import mendloop
from mendloop import Finish, StartIteration, StepKind, Take


class Controller:
    """Works on all tasks that no other replica works on."""

    def __init__(self, manager: mendloop.StateManager, review: str, fix: str) -> None:
        """Drive the tasks of *manager* with these two shell lines."""
        self._manager = manager
        self._commands = {StepKind.REVIEW: review, StepKind.FIX: fix}
        self._me = mendloop.this_process(socket.gethostname(), secrets.token_hex(8))
        self._changed: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Watch for ever; each task has one worker, which is woken by each change of it."""
        async with asyncio.TaskGroup() as workers, aclosing(self._manager.watch_tasks()) as tasks:
            async for task in tasks:
                if task.task_id not in self._changed:
                    self._changed[task.task_id] = asyncio.Event()
                    workers.create_task(self._work(task.task_id))
                self._changed[task.task_id].set()

    async def _work(self, task_id: str) -> None:
        changed = self._changed[task_id]
        while await changed.wait():
            changed.clear()
            try:
                await self._reconcile(task_id)
            except mendloop.StateError as error:  # held by another replica, taken over, an outage
                print(f"{task_id}: {error}; looking again soon", flush=True)
                await asyncio.sleep(2)
                changed.set()

    async def _reconcile(self, task_id: str) -> None:
        if await self._next(task_id) is None:
            return
        lease = await mendloop.RunLease.acquire(self._manager, task_id, self._me)
        async with lease.held():
            while step := await self._next(task_id):
                if isinstance(step, StartIteration):
                    await lease.start_iteration()
                elif isinstance(step, Finish):
                    await lease.finish(step.reason, step.detail)
                else:
                    await self._take(step.kind, lease, task_id)

    async def _next(self, task_id: str) -> StartIteration | Take | Finish | None:
        state = await self._manager.get_state(task_id)
        step = mendloop.decide(state, now=self._manager.clock.now()) if state else None
        return step if isinstance(step, StartIteration | Take | Finish) else None

    async def _take(self, kind: StepKind, lease: mendloop.RunLease, task_id: str) -> None:
        await lease.begin_step(kind)
        told = os.environ | {"MENDLOOP_TASK": task_id}
        process = await asyncio.create_subprocess_shell(
            self._commands[kind], stdout=asyncio.subprocess.PIPE, env=told
        )
        output, _ = await process.communicate()
        code = process.returncode or 0
        if kind is StepKind.REVIEW:
            report = mendloop.read_report(output, reviewer="review", exit_code=code)
            await lease.record_review((report,))
        else:
            await lease.record_fix(problem=f"exit code {code}" if code else "")


async def main(namespace: str, review: str, fix: str) -> None:
    """Run until a signal ends it."""
    store = mendloop.open_configmaps(
        await mendloop.load_access(namespace=namespace), is_watching=True
    )
    try:
        async with mendloop.StateManager(store, door="controller") as manager:
            await Controller(manager, review, fix).run()
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
