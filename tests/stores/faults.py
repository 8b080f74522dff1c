"""
Faults below SQLite: its own system calls, made to fail one at a time.

SQLite lets a test replace the calls of its file layer (https://sqlite.org/c3ref/vfs.html,
xSetSystemCall), and that reaches the real one, shared memory included. A sync is not among them:
a seccomp filter makes it fail, for the calling thread and for good.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import apsw

__all__ = ["CALLS", "Fault", "can_fail_syncs", "fail_syncs", "failing_call"]

_INT, _LONG, _SIZE, _POINTER = ctypes.c_int, ctypes.c_int64, ctypes.c_size_t, ctypes.c_void_p

CALLS: dict[str, tuple[type, ...]] = {
    "open": (_INT, ctypes.c_char_p, _INT, _INT),
    "pread": (ctypes.c_ssize_t, _INT, _POINTER, _SIZE, _LONG),
    "pwrite": (ctypes.c_ssize_t, _INT, _POINTER, _SIZE, _LONG),
    "ftruncate": (_INT, _INT, _LONG),
    "fstat": (_INT, _INT, _POINTER),
    "mmap": (ctypes.c_ssize_t, _POINTER, _SIZE, _INT, _INT, _INT, _LONG),
}
"""Result and arguments of the calls that can be made to fail; each fails by returning -1."""

_SYNCS = {"x86_64": (74, 75), "aarch64": (82, 83)}
_SET_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


@dataclass
class Fault:
    """The `number`-th call from now fails with `code`; 0 for none."""

    number: int = 0
    code: int = errno.EIO
    calls: int = 0

    @property
    def was_hit(self) -> bool:
        return 0 < self.number <= self.calls


@contextlib.contextmanager
def failing_call(name: str) -> Iterator[Fault]:
    """Count the calls of *name* by SQLite in this process, and let one of them fail."""
    layer = apsw.VFS("faults", "")
    known = next(n for n in (f"{name}64", name) if layer.xGetSystemCall(n) is not None)
    signature = ctypes.CFUNCTYPE(*CALLS[name], use_errno=True)
    address = layer.xGetSystemCall(known)
    assert address is not None
    original: Callable[..., int] = signature(address)
    fault = Fault()

    def call(*arguments: object) -> int:
        fault.calls += 1
        if fault.calls == fault.number:
            ctypes.set_errno(fault.code)
            return -1
        return original(*arguments)

    replacement = signature(call)
    pointer = ctypes.cast(replacement, ctypes.c_void_p).value
    assert pointer is not None
    layer.xSetSystemCall(known, pointer)
    try:
        yield fault
    finally:
        layer.xSetSystemCall(known, address)
        layer.unregister()


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("first", ctypes.POINTER(_Instruction)))


def can_fail_syncs() -> bool:
    """Whether `fail_syncs` works on this system."""
    return platform.system() == "Linux" and platform.machine() in _SYNCS


def fail_syncs() -> None:
    """Let every fsync and fdatasync of the calling thread fail with EIO, until it ends."""
    fsync, fdatasync = _SYNCS[platform.machine()]
    instructions = (_Instruction * 5)(
        _Instruction(_LOAD, 0, 0, 0),
        _Instruction(_JUMP_EQUAL, 2, 0, fsync),
        _Instruction(_JUMP_EQUAL, 1, 0, fdatasync),
        _Instruction(_RETURN, 0, 0, _ALLOW),
        _Instruction(_RETURN, 0, 0, _ERRNO | errno.EIO),
    )
    program = _Program(5, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
