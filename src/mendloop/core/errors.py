"""
Every error that mendloop raises, in one place.

A caller tells errors apart by class, never by message: there is one class for each thing that a
caller would do differently. The tree::

    StateError                      root; carries task_id, retryable
    ├── ValidationError             the input is refused; nothing was written
    │   └── TooLarge                the input is over a stated limit in bytes
    ├── StateNotFound               no such task
    ├── StateExists                 an exclusive create came second
    ├── TransitionRefused           the task is not in a state that allows this
    │   ├── MaxIterationsReached    the limit is spent
    │   ├── TaskEnded               ended: only an explicit resume goes on
    │   ├── TaskPaused              paused by a person
    │   ├── StateDeleted            deleted; within the grace it can be restored
    │   ├── LeaseHeld               somebody else runs the task
    │   └── LeaseLost               this run no longer holds the task
    ├── SerializationError          a state cannot be written in the wire format
    ├── DeserializationError        stored bytes are not a state
    │   └── HistoryDamaged          some commits are missing or damaged; the others can be read
    ├── BundleDamaged               an export's file is cut or altered; nothing was imported
    ├── ReadOnlyState               written by a newer version: shown, never overwritten
    ├── OutcomeUnknown              the store fell silent; ask again with the same op_id
    ├── StoreError                  the store said no (the specification's KubernetesError)
    │   ├── StoreNotFound           there is none in this place, and none was to be made
    │   ├── DocumentExists          create found the key taken
    │   ├── RevisionConflict        the document moved since it was read
    │   ├── BeingDeleted            the document is on its way out: what is written goes with it
    │   ├── StoreUnavailable        for now; retryable. maybe_stored: the write may have landed
    │   ├── VersionExpired          the version or place is too old to go on from: list again
    │   ├── AccessError             the way to it, or the credentials for it, are not right
    │   ├── NotPermitted            the credentials are right, and not allowed this
    │   ├── StoreFull               no space, or a file-size limit
    │   ├── StoreReadOnly           no permission to write
    │   ├── StoreReplaced           its file is another one now
    │   ├── StoreCorrupt            the file is damaged or no database
    │   └── StoreTooNew             the store's layout is newer than this mendloop
    └── RunError                    the local runner could not do its work
        └── WorkTreeBusy            another run works in the same folder
"""

from __future__ import annotations

from typing import Any

from mendloop.core.text import redact_secrets

__all__ = [
    "AccessError",
    "BeingDeleted",
    "BundleDamaged",
    "DeserializationError",
    "DocumentExists",
    "HistoryDamaged",
    "LeaseHeld",
    "LeaseLost",
    "MaxIterationsReached",
    "NotPermitted",
    "OutcomeUnknown",
    "ReadOnlyState",
    "RevisionConflict",
    "RunError",
    "SerializationError",
    "StateDeleted",
    "StateError",
    "StateExists",
    "StateNotFound",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreNotFound",
    "StoreReadOnly",
    "StoreReplaced",
    "StoreTooNew",
    "StoreUnavailable",
    "TaskEnded",
    "TaskPaused",
    "TooLarge",
    "TransitionRefused",
    "ValidationError",
    "VersionExpired",
    "WorkTreeBusy",
]


class StateError(Exception):
    """
    Something about a task's state went wrong.

    Attributes:
        task_id: The task it is about, or "" where it is about none.
        retryable: Whether the same call may succeed later without anything else changing.
    """

    retryable = False

    def __init__(self, message: str = "", *, task_id: str = "") -> None:
        """Take the class's own explanation where no message is given; a secret in it goes."""
        text = message or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0]
        super().__init__(redact_secrets(text))
        self.task_id = task_id

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by content: `__init__` asks for more than the message."""
        return _bare, (type(self), *self.args), vars(self)


def _bare(kind: type[StateError], *args: Any) -> StateError:
    return kind.__new__(kind, *args)


class ValidationError(StateError):
    """The input is refused; nothing was written."""


class TooLarge(ValidationError):
    """
    The input is over a stated limit.

    Attributes:
        size_bytes: What was counted.
        limit_bytes: What is allowed.
    """

    def __init__(
        self, message: str, *, size_bytes: int, limit_bytes: int, task_id: str = ""
    ) -> None:
        """Keep both figures, so that a caller can say what to cut."""
        super().__init__(message, task_id=task_id)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class StateNotFound(StateError):
    """There is no state for this task."""

    def __init__(self, message: str = "", *, task_id: str = "") -> None:
        """Say so in the same words by whatever door it was asked for."""
        super().__init__(
            message or f"there is no task {task_id}; `mendloop list` shows those there are",
            task_id=task_id,
        )


class StateExists(StateError):
    """The task already has a state; an exclusive create came second."""


class TransitionRefused(StateError):
    """The task is not in a state that allows this."""


class MaxIterationsReached(TransitionRefused):
    """
    The task has spent its iterations.

    Attributes:
        iteration: The number it stands at.
    """

    def __init__(self, iteration: int, *, task_id: str = "") -> None:
        """Name the way on: a resume with a higher limit."""
        super().__init__(
            f"task {task_id} has spent its {iteration} iterations; "
            f"`mendloop resume {task_id} --max-iterations N` with a higher N goes on",
            task_id=task_id,
        )
        self.iteration = iteration


class TaskEnded(TransitionRefused):
    """The task has ended; only an explicit resume goes on."""


class TaskPaused(TransitionRefused):
    """The task is paused by a person."""


class StateDeleted(TransitionRefused):
    """
    The task is deleted.

    Attributes:
        is_restorable: Whether a restore brings it back; False where its removal has begun.
    """

    def __init__(self, message: str, *, is_restorable: bool, task_id: str = "") -> None:
        """Keep whether there is a way back."""
        super().__init__(message, task_id=task_id)
        self.is_restorable = is_restorable


class LeaseHeld(TransitionRefused):
    """
    Somebody else runs the task.

    Attributes:
        holder: Who, in words for a person.
        since: RFC 3339 time of the acquisition, on the holder's clock.
    """

    def __init__(self, message: str, *, holder: str, since: str, task_id: str = "") -> None:
        """Keep who and since when."""
        super().__init__(message, task_id=task_id)
        self.holder = holder
        self.since = since


class LeaseLost(TransitionRefused):
    """The run no longer holds the task: its result is not written."""


class SerializationError(StateError):
    """The state cannot be written in the wire format."""


class DeserializationError(StateError):
    """The stored bytes are not a state in the wire format."""


class HistoryDamaged(DeserializationError):
    """
    Some commits of a task are missing or damaged; those after *last* can be read.

    Attributes:
        first: The first commit of those that cannot be read.
        last: The last of them.
    """

    def __init__(self, message: str, *, first: int, last: int, task_id: str = "") -> None:
        """Keep which commits they are."""
        super().__init__(message, task_id=task_id)
        self.first = first
        self.last = last


class BundleDamaged(StateError):
    """
    A bundle is cut or altered: nothing of it was imported.

    Attributes:
        line: The first line that is not as it was written.
    """

    def __init__(self, message: str, *, line: int, task_id: str = "") -> None:
        """Keep where it is."""
        super().__init__(message, task_id=task_id)
        self.line = line


class ReadOnlyState(StateError):
    """
    The state was written by a newer version: it is shown and never overwritten.

    Attributes:
        raw: The stored bytes, untouched.
    """

    def __init__(self, message: str, *, raw: bytes, task_id: str = "") -> None:
        """Keep the bytes, so that a caller can still show them."""
        super().__init__(message, task_id=task_id)
        self.raw = raw


class OutcomeUnknown(StateError):
    """
    The store fell silent during a write: it may have landed or not. Ask again with the same op_id.

    Attributes:
        op_id: The operation id to ask again with.
    """

    retryable = True

    def __init__(self, message: str, *, op_id: str, task_id: str = "") -> None:
        """Keep the operation id: the same id again settles it."""
        super().__init__(message, task_id=task_id)
        self.op_id = op_id


class StoreError(StateError):
    """The store refused or failed."""


class StoreNotFound(StoreError):
    """There is no store in this place, and none was to be made."""


class DocumentExists(StoreError):
    """The key is taken: an exclusive create came second."""


class RevisionConflict(StoreError):
    """The document moved, or went, since it was read: read again and decide again."""


class BeingDeleted(StoreError):
    """The document is being deleted, and what is written into it would go with it."""


class StoreUnavailable(StoreError):
    """
    The store does not answer for now.

    Attributes:
        maybe_stored: True where the write may have landed before the answer was lost.
    """

    retryable = True

    def __init__(self, message: str = "", *, maybe_stored: bool = False, task_id: str = "") -> None:
        """Say whether the write may have landed."""
        super().__init__(message, task_id=task_id)
        self.maybe_stored = maybe_stored


class VersionExpired(StoreError):
    """
    What came after this version, or at this place of a listing, is no longer known: list again.

    Attributes:
        following: A place from which the listing may go on at the newest version, or "".
    """

    def __init__(self, message: str = "", *, following: str = "", task_id: str = "") -> None:
        """Keep where to go on."""
        super().__init__(message, task_id=task_id)
        self.following = following


class AccessError(StoreError):
    """
    The way to the store, or the credentials for it, are not right: nothing was done.

    The message says what to correct; no secret is in it.
    """


class NotPermitted(StoreError):
    """
    The store knows who we are, and does not allow this.

    Attributes:
        verb: Of Kubernetes' rules: get, list, watch, create, patch or delete.
        resource: For instance "configmaps".
        namespace: Where.
    """

    def __init__(
        self, message: str, *, verb: str, resource: str, namespace: str, task_id: str = ""
    ) -> None:
        """Keep what a rule would have to allow."""
        super().__init__(message, task_id=task_id)
        self.verb = verb
        self.resource = resource
        self.namespace = namespace


class StoreFull(StoreError):
    """The store has no room for this write; nothing of it was kept."""


class StoreReadOnly(StoreError):
    """The store may be read and not written."""


class StoreReplaced(StoreUnavailable):
    """The store's file was removed or replaced while it was open: it has to be opened again."""


class StoreCorrupt(StoreError):
    """The store's file is damaged, or is no store."""


class StoreTooNew(StoreError):
    """The store was laid out by a newer mendloop: it is not touched."""


class RunError(StateError):
    """The local runner could not do its work."""


class WorkTreeBusy(RunError):
    """
    Another run works in the same folder.

    Attributes:
        holder: Who, in words for a person.
    """

    def __init__(self, message: str, *, holder: str, task_id: str = "") -> None:
        """Keep who holds the folder."""
        super().__init__(message, task_id=task_id)
        self.holder = holder
