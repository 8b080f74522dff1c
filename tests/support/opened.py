"""Opening any number of things in a test, all of which are closed when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import ParamSpec, Protocol, TypeVar

__all__ = ["opened"]


class _Closable(Protocol):
    async def close(self) -> None: ...


_P = ParamSpec("_P")
_T = TypeVar("_T", bound=_Closable)


@asynccontextmanager
async def opened(
    open_one: Callable[_P, Awaitable[_T]],
) -> AsyncIterator[Callable[_P, Awaitable[_T]]]:
    """Give *open_one* on, and close in the end what it has opened."""
    async with AsyncExitStack() as stack:

        async def open_another(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            made = await open_one(*args, **kwargs)
            stack.push_async_callback(made.close)
            return made

        yield open_another
