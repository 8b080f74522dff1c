"""Keeps what a credential plugin gave, and asks it anew in time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from mendloop.clock import Clock
from mendloop.core.errors import AccessError
from mendloop.kube.credentials import Credential
from mendloop.kube.exec_plugin import ExecPlugin

__all__ = ["PluginLogin"]

_EARLY = timedelta(seconds=60)


class PluginLogin:
    """
    What a plugin gives, kept until a minute before it expires, or half its time where that is less.

    All callers share one run. Where it fails while the last credential is still good, that one is
    used, and the plugin is asked again in half the time that is left.
    """

    def __init__(self, plugin: ExecPlugin, clock: Clock) -> None:
        """Ask nothing yet."""
        self.what = f"what {plugin.name} printed"
        self.remedy = "log in with the plugin again"
        self._plugin = plugin
        self._clock = clock
        self._credential: Credential | None = None
        self._renew_at: datetime | None = None
        self._run: asyncio.Task[Credential] | None = None

    async def get(self) -> Credential:
        """
        What the plugin gave last, or gives now.

        Raises:
            AccessError: It gave nothing that can be used, or was ended by `close`.
        """
        if self._credential is not None and not self._is_due():
            return self._credential
        if self._run is None or self._run.done():
            self._run = asyncio.create_task(self._renew())
            self._run.add_done_callback(_see)
        run = self._run
        await asyncio.wait({run})  # a caller that is cancelled does not end it for the others
        if run.cancelled():
            raise AccessError(f"{self._plugin.name} was ended, since its user closed the store")
        return run.result()

    def forget(self) -> None:
        """Ask the plugin before the next request."""
        self._credential = None

    async def close(self) -> None:
        """End the plugin, if it is running."""
        if self._run is not None and not self._run.done():
            self._run.cancel()
            await asyncio.wait({self._run})

    def _is_due(self) -> bool:
        return self._renew_at is not None and self._clock.now() >= self._renew_at

    async def _renew(self) -> Credential:
        last = self._credential
        try:
            credential = await self._plugin.run()
        except AccessError:
            if last is None or last is not self._credential or self._is_expired(last):
                raise
            credential = last
        self._credential = credential
        self._renew_at = None
        if credential.expires is not None:
            left = credential.expires - self._clock.now()
            self._renew_at = credential.expires - min(_EARLY, left / 2)
        return credential

    def _is_expired(self, credential: Credential) -> bool:
        return credential.expires is not None and credential.expires <= self._clock.now()


def _see(run: asyncio.Task[Credential]) -> None:
    """Take note of an error that no caller is left to hear of."""
    if not run.cancelled():
        run.exception()
