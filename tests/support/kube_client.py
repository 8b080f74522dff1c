"""What tests of requests to an API server share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from mendloop.kube.api import Api
from mendloop.kube.requests import Resource

__all__ = ["CONFIGMAPS", "OpenApi"]

CONFIGMAPS = Resource("/api/v1", "configmaps")

OpenApi: TypeAlias = Callable[..., Awaitable[Api]]
"""Opens one more client: of a cluster, as the owner of a token, with options of `Api`."""
