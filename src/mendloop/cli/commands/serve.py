"""`mendloop serve`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.service.assembly import Address
    from mendloop.service.settings import Secrets, ServiceSettings

__all__ = ["serve"]

_LAST_PORT = 65_535
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    show_default=True,
    help="Where senders come. Port 0 lets the system choose.",
)
@click.option(
    "--admin-listen",
    metavar="HOST:PORT",
    default="127.0.0.1:9090",
    show_default=True,
    help="Where /healthz, /readyz and /metrics are.",
)
@click.option("--config", type=_FILE, help="A TOML file; docs/service.md describes it.")
@click.option(
    "--webhook-secret-file",
    "github",
    type=_FILE,
    multiple=True,
    help="The secret of the GitHub webhook; twice while one replaces the other.",
)
@click.option(
    "--feedback-token-file",
    "feedback",
    type=_FILE,
    multiple=True,
    help="The token of senders to /v1/feedback; twice while one replaces the other.",
)
@click.option("--name", help="Of this replica, and of no other; host and process if not given.")
@shared_options
@click.pass_obj
def serve(
    session: Session,
    *,
    listen: str,
    admin_listen: str,
    config: Path | None,
    github: tuple[Path, ...],
    feedback: tuple[Path, ...],
    name: str | None,
) -> None:
    """
    Take findings in over HTTP, clean up, and tell how it is, until it is stopped.

    Any number of replicas may share one store. A door without a secret is closed. SIGTERM and
    Ctrl-C end it in good order: what was taken in is finished, or left to the next. Where
    OTEL_EXPORTER_OTLP_ENDPOINT is set, traces of deliveries go there.
    """
    import asyncio

    from mendloop.cli.composition import needed_by
    from mendloop.cli.interrupts import Interrupted, run_interruptibly
    from mendloop.core.text import redact_secrets

    with needed_by("the service", extra="service"):
        from mendloop.service.logs import configure_logs
        from mendloop.service.settings import Secrets, ServiceSettings, read_secret, read_settings
        from mendloop.service.traces import exporting, wants_traces

        addresses = _address("--listen", listen), _address("--admin-listen", admin_listen)
    settings = read_settings(config) if config else ServiceSettings()
    secrets = Secrets(
        github=tuple(map(read_secret, github)), feedback=tuple(map(read_secret, feedback))
    )
    configure_logs(redact=redact_secrets)
    name = name or _own_name()
    with contextlib.suppress(Interrupted), contextlib.ExitStack() as stack:
        if wants_traces():
            with needed_by("sending traces", extra="traces"):
                stack.enter_context(exporting(name))
        asyncio.run(run_interruptibly(_serve(session, name, settings, secrets, addresses)))


async def _serve(
    session: Session,
    name: str,
    settings: ServiceSettings,
    secrets: Secrets,
    addresses: tuple[Address, Address],
) -> None:
    import logging

    from mendloop.cli.composition import open_shared
    from mendloop.clock import SystemClock
    from mendloop.service.assembly import Service
    from mendloop.service.metrics import Metrics

    log = logging.getLogger("mendloop.service")
    metrics = Metrics()
    opened = open_shared(session, leader="mendloop-leader", telemetry=metrics)
    async with opened as (store, leases):
        service = Service(
            store,
            leases,
            metrics,
            name=name,
            clock=SystemClock(),
            settings=settings,
            secrets=secrets,
            intake=addresses[0],
            admin=addresses[1],
        )
        async with service.running():
            for what, at in (("intake", service.intake), ("admin", service.admin)):
                log.info("listening", extra={"listener": what, "host": at.host, "port": at.port})
            for closed in service.closed_doors:
                log.warning("the door %s is closed: no secret is given for it", closed)
            await service.until_broken()


def _address(option: str, text: str) -> Address:
    from mendloop.service.assembly import Address

    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > _LAST_PORT:
        raise click.BadParameter(f"{text!r} is not HOST:PORT", param_hint=option)
    return Address(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - it was asked for


def _own_name() -> str:
    import os
    import secrets

    return f"{os.uname().nodename}-{secrets.token_hex(4)}"
