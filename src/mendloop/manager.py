"""
The specification's StateManager, on any store.

Every change of a task goes through here, from whatever door: as a command that
`mendloop.core.transitions` answers and `mendloop.group_commit` writes.
"""

from __future__ import annotations

import contextlib
import copy
import secrets
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

from mendloop.auditing import Auditor
from mendloop.census import take_census
from mendloop.cleanup import Cleaner
from mendloop.clock import Clock, SystemClock
from mendloop.core import commands
from mendloop.core.commits import Request
from mendloop.core.diagnosis import Diagnosis
from mendloop.core.errors import StateNotFound, ValidationError
from mendloop.core.logbook import Actor
from mendloop.core.model import Commit, FeedbackEntry, RemediationState, Settings
from mendloop.core.names import HEAD, check_task_id, head_name
from mendloop.core.statistics import Statistics
from mendloop.core.text import Redactor, redact_secrets
from mendloop.core.transitions.naming import distinct
from mendloop.disposal import Disposal
from mendloop.examining import Examiner
from mendloop.feedback import Feedback
from mendloop.findings import EVERY, FindingsPage, Which, page_of, read_cursor
from mendloop.group_commit import GroupCommitter
from mendloop.listing import Listed, TaskPage, listed
from mendloop.logbook import Logbook
from mendloop.mending import Mender, Mending
from mendloop.reading import Reader
from mendloop.records import Records
from mendloop.recovery import Recovery, Surgeon
from mendloop.seen import SeenStates
from mendloop.stores.port import Store
from mendloop.telemetry import Telemetry, Untold
from mendloop.whoami import user_name

__all__ = ["StateManager"]

_OP_ID_LIMIT = 128
_OP_ID_BYTES = 4 * _OP_ID_LIMIT


class StateManager(Disposal, Feedback, Mending, Records):
    """
    Keeps the state of remediation tasks: each change once, each number to one caller.

    Use it as an async context manager, or call `close`. It may be shared by any number of
    coroutines, and any number of managers in any number of processes may share one store.

    An operation id is remembered for ever with the change that it made, and the same call with it
    gets the same answer. A call that changed nothing, because it was refused or all was there
    already, leaves nothing to remember: asked again, it is decided on the state as it is then.
    """

    def __init__(
        self,
        store: Store,
        *,
        by: str | None = None,
        door: str = "library",
        clock: Clock | None = None,
        redact: Redactor = redact_secrets,
        deadline_seconds: float = 30.0,
        telemetry: Telemetry | None = None,
    ) -> None:
        """
        Work on *store*, which stays the caller's to close.

        Args:
            store: Where documents live.
            by: Who makes the changes, for the history; the user's name if not given.
            door: How they come in, for the history.
            clock: The time; this machine's if not given.
            redact: Takes secrets out of every text before it is written.
            deadline_seconds: How long one call may take, retries included.
            telemetry: Is told how operations go.
        """
        self._store = store
        self._redact = redact
        self.clock: Clock = clock or SystemClock()
        self._seen = SeenStates()
        self._committer = GroupCommitter(
            store,
            clock=self.clock,
            redact=redact,
            deadline_seconds=deadline_seconds,
            telemetry=telemetry or Untold(),
        )
        self._reader = Reader(self._committer.history, self.require_state)
        self._auditor = Auditor(store)
        self._act_as(by if by is not None else user_name(), door)

    async def __aenter__(self) -> Self:
        """Nothing is opened: the store is."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the writes under way."""
        await self.close()

    async def close(self) -> None:
        """Wait for the writes under way. Idempotent."""
        await self._committer.close()

    def acting_for(self, by: str, *, door: str) -> Self:
        """A view of this manager whose changes are recorded as *by*'s; it is closed with this one."""
        view = copy.copy(self)
        view._act_as(by, door)  # noqa: SLF001 - it is of this class
        return view

    def _act_as(self, by: str, door: str) -> None:
        """Have the changes recorded as *by*'s; repairs and cleanups are doors of their own."""
        self._by, self._door = by, door
        self._examiner = Examiner(self._store)
        self._mender = Mender(self._store, clock=self.clock, redact=self._redact)
        self._surgeon = Surgeon(self._store, clock=self.clock, redact=self._redact, by=by)
        cleaning = copy.copy(self)
        cleaning._door = "cleanup"  # noqa: SLF001 - it is of this class
        self._logbook = Logbook(
            self._store, actor=Actor(by, "cleanup"), clock=self.clock, redact=self._redact
        )
        history = self._committer.history
        self._cleaner = Cleaner(self._store, cleaning.submit, history, self._logbook, self.clock)

    async def get_state(self, task_id: str) -> RemediationState | None:
        """
        Read the task's state, fresh from the store; None where there is none.

        Raises:
            DeserializationError: What is stored is damaged; it is left as it is.
            ReadOnlyState: A newer version wrote it; the error carries its bytes.
        """
        stored = await self._committer.read(check_task_id(task_id))
        return stored.state if stored else None

    async def require_state(self, task_id: str) -> RemediationState:
        """
        Read a task's state fresh from the store, where there has to be one.

        Raises:
            StateNotFound: There is no such task.
            DeserializationError: It is damaged.
            ReadOnlyState: A newer version wrote it.
        """
        state = await self.get_state(task_id)
        if state is None:
            raise StateNotFound(task_id=task_id)
        return state

    async def look_at(self, task_id: str) -> Listed:
        """Read the task fresh from the store, as a listing shows it."""
        key = head_name(check_task_id(task_id))
        return listed(key, await self._store.get(HEAD, key))

    async def create_task(
        self, task_id: str, *, settings: Settings | None = None, op_id: str | None = None
    ) -> None:
        """
        Make a task: of many creators one wins.

        Raises:
            StateExists: It is there already.
        """
        await self.submit(task_id, commands.Create(settings=settings or Settings()), op_id=op_id)

    async def create_or_update_state(
        self, state: RemediationState, *, op_id: str | None = None
    ) -> None:
        """
        Write a whole state that the caller read before and changed.

        Raises:
            StateExists: The state is new, and there is one already.
            RevisionConflict: The stored state moved since the caller read it: read again.
            LeaseHeld: A run is under way.
            ValidationError: It would lower the counter, lose a finding, or complete a task that has
                open ones.
        """
        await self.submit(state.task_id, commands.PutState(state=state), op_id=op_id)

    async def increment_iteration(
        self, task_id: str, *, max_iterations: int | None = None, op_id: str | None = None
    ) -> int:
        """
        Start the task's next iteration: each number goes to one caller, however many ask at once.

        Args:
            max_iterations: The limit from now on; as it is, or 10 for a new task, if not given.
            op_id: Names this attempt; the same id again returns the number that the first call got,
                and is decided anew where that was refused and changed nothing.

        Raises:
            MaxIterationsReached: The limit is spent; the stored status says so.
            TaskEnded: The task has ended otherwise.
            TaskPaused: A person paused it.
            LeaseHeld: A run is under way.
            OutcomeUnknown: The store fell silent; call again with the same *op_id*.
        """
        command = commands.Increment(max_iterations=max_iterations)
        return int((await self.submit(task_id, command, op_id=op_id))["iteration"])

    async def get_current_iteration(self, task_id: str) -> int:
        """The task's iteration, 0 where there is no such task."""
        state = await self.get_state(task_id)
        return state.iteration if state else 0

    async def get_feedback_history(
        self, task_id: str, which: Which = EVERY
    ) -> tuple[FeedbackEntry, ...]:
        """
        Every finding of the task, in the order they came; none where there is no task.

        Of a long history `find` reads a page at a time.

        Args:
            which: Those that are asked for.

        Raises:
            HistoryDamaged: Some are missing or damaged.
        """
        state = await self.get_state(task_id)
        if state is None:
            return ()
        findings = self._reader.findings(state)
        return tuple([entry async for _, entry in findings if which.has(entry)])

    async def find(
        self,
        task_id: str,
        which: Which = EVERY,
        *,
        limit: int = 100,
        cursor: str | None = None,
    ) -> FindingsPage:
        """
        Read a page of the task's findings, in the order they came.

        Args:
            which: Those that are asked for.
            limit: At most this many, 1 to 1,000.
            cursor: Where the page before ended.

        Raises:
            StateNotFound: There is no such task.
            HistoryDamaged: Some are missing or damaged.
        """
        after = read_cursor(cursor)
        state = await self.require_state(task_id)
        async with contextlib.aclosing(self._reader.findings(state, after=after)) as findings:
            return await page_of(findings, which, limit)

    async def open_findings(self, state: RemediationState) -> tuple[FeedbackEntry, ...]:
        """Every open finding of *state*, the sealed ones among them, in the order they came."""
        return await self._reader.open_findings(state)

    async def validate_state(self, task_id: str) -> Diagnosis:
        """
        Tell all that is wrong with what is stored of the task; nothing is changed.

        Raises:
            StateNotFound: Nothing is stored of it.
        """
        return await self._examiner.validate(check_task_id(task_id))

    def validate_all(self) -> AsyncGenerator[Diagnosis, None]:
        """Tell all that is wrong with each task, those too of which only the history is left."""
        return self._examiner.validate_all()

    async def recover_state(self, task_id: str, *, is_dry_run: bool = False) -> Recovery:
        """
        Make a sound state out of what is left of the task, and record it; a sound one stays as it is.

        What is damaged is copied aside first, byte for byte. No counter is lowered. What could not
        be brought back is told, and kept in the history.

        Args:
            is_dry_run: Whether only to tell what would be repaired and lost, and to write nothing.

        Raises:
            StateNotFound: Nothing is stored of it.
            ReadOnlyState: A newer version wrote it; it is left as it is.
        """
        return await self._surgeon.recover(check_task_id(task_id), is_dry_run=is_dry_run)

    async def pause(self, task_id: str, *, reason: str) -> bool:
        """
        Let the step in progress end, and start no other until a resume.

        Returns:
            False where it was paused already: then that pause stands, with its own reason.
        """
        return bool((await self.submit(task_id, commands.Pause(reason=reason)))["is_new"])

    async def resume(self, task_id: str, *, max_iterations: int | None = None) -> int:
        """
        Go on with a paused or ended task; returns the iteration it stands at.

        Raises:
            ValidationError: The limit is spent and no higher one is given, or the task is neither
                paused nor ended.
        """
        command = commands.Resume(max_iterations=max_iterations)
        return int((await self.submit(task_id, command))["iteration"])

    async def stop(self, task_id: str, *, reason: str) -> None:
        """End the task; a run that holds it can write no more."""
        await self.submit(task_id, commands.Stop(reason=reason))

    async def list_tasks(self, *, limit: int = 500, cursor: str | None = None) -> TaskPage:
        """List tasks by id, a page at a time; one that cannot be read says why."""
        page = await self._store.list(HEAD, limit=limit, cursor=cursor)
        tasks = [listed(document.key, document) for document in page.documents]
        return TaskPage(tuple(tasks), page.cursor)

    async def statistics(self) -> Statistics:
        """
        Count all tasks: what became of them, what it took, their findings, and what they take to store.

        One that is damaged, or that a newer version wrote, is named and stops nothing.
        """
        return await take_census(self._store, self._reader)

    async def watch_tasks(self) -> AsyncGenerator[Listed, None]:
        """
        Yield all tasks, then each one as it changes, without end; end it with ``aclose``.

        No task goes back in time; one that changes several times meanwhile is yielded once, as it is.
        """
        async with contextlib.aclosing(self._store.watch(HEAD)) as watching:
            async for seen in watching:
                yield listed(seen.key, seen.document)

    def cached_state(self, task_id: str) -> RemediationState | None:
        """
        The newest state that this process has seen: a read without asking the store.

        It may have passed since, and None says only that nothing is known. It never goes back behind
        a write of this manager, nor behind what a call before has told.
        """
        document = self._store.peek(HEAD, head_name(check_task_id(task_id)))
        return None if document is None else self._seen.state_of(task_id, document)

    def commits(self, state: RemediationState, *, after: int = 0) -> AsyncGenerator[Commit, None]:
        """
        Yield the commits of *state* with a number above *after*, oldest first.

        Raises:
            HistoryDamaged: Some are missing or damaged; go on after its ``last``.
        """
        return self._reader.commits(state, after=after)

    async def submit(
        self, task_id: str, command: commands.Command, *, op_id: str | None = None, run: str = ""
    ) -> dict[str, Any]:
        """
        Have one command decided and written; the named methods do this for you.

        Args:
            op_id: Names this attempt. Where it changed the state, the same id again gets the same
                answer; where it did not, it is decided anew.
            run: The holder's token, beside a command's generation: a task that was removed and made
                anew gives out the same generations again. `RunLease` gives it.

        Raises:
            StateError: It is refused, or the store is; see `mendloop.core.errors`.
        """
        check_task_id(task_id)
        if op_id is not None and not (0 < len(op_id) <= _OP_ID_LIMIT and op_id.isprintable()):
            raise ValidationError(
                f"an operation id has 1 to {_OP_ID_LIMIT} printable characters", task_id=task_id
            )
        request = Request(
            command=command,
            op_id=distinct(
                op_id or secrets.token_hex(8), limit_bytes=_OP_ID_BYTES, redact=self._redact
            ),
            by=self._by,
            door=self._door,
            run=run,
            may_repeat=op_id is not None,
        )
        return await self._committer.submit(task_id, request)
