"""One call of `mendloop run`: the loop under the eyes of a watcher, and what is said at its end."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path

import click

from mendloop.cli import composition, words
from mendloop.cli.exit_codes import code_of_reason
from mendloop.cli.interrupts import Interrupted, run_interruptibly
from mendloop.cli.main import complain
from mendloop.cli.plan import RunOptions, make_plan
from mendloop.cli.printing import print_line, print_table
from mendloop.cli.session import Session
from mendloop.cli.story import tell
from mendloop.cli.watch import Watcher, watcher_for
from mendloop.clock import SteadyClock
from mendloop.config import Config
from mendloop.core.errors import DeserializationError, ValidationError
from mendloop.core.model import RemediationState
from mendloop.events import Event, Finished, IterationStarted, RunStarted
from mendloop.loop import Loop, Plan
from mendloop.manager import StateManager
from mendloop.runners.identity import this_process
from mendloop.runners.tree import is_content

__all__ = ["Drive"]


class Drive:
    """Runs one task in one work tree, and tells about it."""

    def __init__(
        self,
        session: Session,
        task_id: str,
        tree: Path,
        config: Config,
        options: RunOptions,
    ) -> None:
        """Get ready; nothing is opened yet."""
        self._session = session
        self._task_id = task_id
        self._tree = tree
        self._config = config
        self._options = options
        self._folder = composition.WorkFolder(tree)
        self._has_run = False

    async def run(self) -> int:
        """
        Run until the loop is over; returns the exit code of its stop reason.

        Raises:
            Interrupted: A signal has ended it; it was said where it stands.
        """
        await self._refuse_own_files()
        opened = composition.open_manager(
            self._session, must_exist=False, door="run", clock=SteadyClock()
        )
        async with opened as manager:
            plan = self._plan(await manager.get_state(self._task_id))
            try:
                with watcher_for(self._session) as watch:
                    finished = await run_interruptibly(self._loop(manager, plan, watch).run())
            except Interrupted as interrupted:
                await self._say_interrupted(manager, interrupted)
                raise
            if self._session.output == "table":
                await self._say_end(manager, finished)
            return int(code_of_reason(finished.reason))

    async def _refuse_own_files(self) -> None:
        """Each write of mendloop's own would count as a change of the work tree."""
        for path in composition.own_files(self._session, self._folder):
            if await is_content(self._tree, path):
                raise click.UsageError(
                    f"{path} is inside the work tree {self._tree}, and what mendloop keeps there "
                    "would count as a change of it: let git ignore it, or name another place "
                    "(--store, XDG_STATE_HOME)"
                )

    def _plan(self, state: RemediationState | None) -> Plan:
        try:
            return make_plan(
                self._config,
                self._options,
                state=state,
                tree=self._tree,
                lock_dir=composition.lock_folder(),
                brief_dir=self._folder.path,
                store=composition.store_spec(self._session),
            )
        except ValidationError as error:
            raise click.UsageError(str(error)) from error

    def _loop(self, manager: StateManager, plan: Plan, watch: Watcher) -> Loop:
        def observe(event: Event) -> None:
            if isinstance(event, (RunStarted, IterationStarted)):
                self._has_run = True
                # The work tree's lock is held now: nobody else uses the folder.
                self._folder.empty()
            watch(event)

        token = secrets.token_hex(8)
        return Loop(
            manager,
            self._task_id,
            plan,
            runner=composition.make_runner(self._folder, token),
            holder=this_process(self._session.by, token),
            observer=observe,
        )

    async def _say_end(self, manager: StateManager, finished: Finished) -> None:
        state = await manager.require_state(self._task_id)
        over = f"{finished.reason}: {finished.detail}" if finished.detail else finished.reason
        if self._has_run:
            print_line()
            try:
                await self._show_iterations(manager, state)
            except DeserializationError as error:  # the run has ended all the same
                complain(self._session, "warning", f"warning: {error}", task_id=self._task_id)
            print_line()
            print_line(f"{self._task_id}: {over}")
        else:
            verb = "is paused" if finished.reason == "paused" else "has ended already"
            print_line(f"{self._task_id} {verb}, and nothing was run: {over}")
        following = words.advice(self._session, state)
        if following:
            print_line(f"next: {following}")
        elif not self._has_run:
            again = f"mendloop resume {shlex.quote(self._task_id)}{self._session.store_option}"
            print_line(f"next: nothing; after `{again}` it would be reviewed again")

    async def _show_iterations(self, manager: StateManager, state: RemediationState) -> None:
        story = tell([commit async for commit in manager.commits(state)])
        rows = [
            [
                str(done.iteration),
                "-" if done.open is None else str(done.open),
                str(done.new),
                str(done.resolved),
                str(done.reopened),
                f"{done.seconds:.1f} s",
            ]
            for done in story.iterations
        ]
        headers = ["iteration", "open", "new", "resolved", "came back", "time"]
        print_table(self._session, headers, rows)

    async def _say_interrupted(self, manager: StateManager, interrupted: Interrupted) -> None:
        state = await manager.get_state(self._task_id)
        where = "before it began"
        if state is not None:
            phase = state.ledger.phase or state.status
            where = f"at iteration {state.iteration}, {str(phase).lower()}"
        again = f"{self._session.program} {shlex.join(self._session.arguments)}"
        message = f"stopped {where} ({interrupted}); `{again}` goes on"
        complain(self._session, "Interrupted", message, task_id=self._task_id)
