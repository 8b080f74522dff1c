"""What a credential plugin gave: shared by all requests, renewed in time, and dropped after a 401."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import Any

import aiohttp
import pytest
from clocks import SteppedClock
from plugins import Plugin, exec_credential, number_in
from wire import Pki, Wire, ask, ask_in

from mendloop.core.errors import AccessError
from mendloop.kube.access import load_access


async def test_many_requests_share_a_run(plugin: Plugin, wire: Wire, kubeconfigs: Any) -> None:
    """However many requests begin at once, the plugin runs once, and again after a 401."""
    access = await load_access(kubeconfig=kubeconfigs.write({}, plugin.prints({"token": "t"})))

    await asyncio.gather(*(ask(access) for _ in range(20)))
    await ask(access)

    assert 1 == plugin.runs
    assert {"Bearer t"} == {seen.authorization for seen in wire.seen}
    access.forget_credentials()
    await ask(access)
    assert 2 == plugin.runs


async def test_a_request_that_is_given_up_does_not_stop_the_others(
    plugin: Plugin, kubeconfigs: Any
) -> None:
    """A caller that is cancelled while the plugin runs takes it from nobody else."""
    user = plugin.does(f"sleep 0.5; cat <<'END'\n{exec_credential({'token': 't'})}\nEND")
    access = await load_access(kubeconfig=kubeconfigs.write({}, user))
    first, second = (asyncio.create_task(access.headers()) for _ in range(2))
    await asyncio.sleep(0.1)

    first.cancel()

    assert "Bearer t" == (await second)["Authorization"]
    assert 1 == plugin.runs


@pytest.mark.parametrize(("lifetime_seconds", "kept_seconds"), [(600, 540), (60, 30)])
async def test_a_token_is_renewed_before_it_expires(
    lifetime_seconds: int, kept_seconds: int, plugin: Plugin, kubeconfigs: Any
) -> None:
    """A minute before its end, or half its time, the plugin is asked for the next token."""
    clock = SteppedClock()
    expires = later(clock, lifetime_seconds)
    path = kubeconfigs.write({}, plugin.prints({"token": "old", "expirationTimestamp": expires}))
    access = await load_access(kubeconfig=path, clock=clock)
    await access.headers()
    plugin.prints({"token": "new", "expirationTimestamp": later(clock, 9999)})

    clock.pass_seconds(kept_seconds - 1)
    assert "Bearer old" == (await access.headers())["Authorization"]
    clock.pass_seconds(1)
    assert "Bearer new" == (await access.headers())["Authorization"]
    assert 2 == plugin.runs


async def test_a_renewal_that_fails_counts_at_the_end(plugin: Plugin, kubeconfigs: Any) -> None:
    """While the last token is good it serves, and the plugin is asked again; then it is an error."""
    clock = SteppedClock()
    path = kubeconfigs.write(
        {}, plugin.prints({"token": "old", "expirationTimestamp": later(clock, 600)})
    )
    access = await load_access(kubeconfig=path, clock=clock)
    await access.headers()
    plugin.does("exit 1")

    clock.pass_seconds(541)
    for _ in range(3):
        assert "Bearer old" == (await access.headers())["Authorization"]
    assert 2 == plugin.runs
    clock.pass_seconds(30)
    assert "Bearer old" == (await access.headers())["Authorization"]
    assert 3 == plugin.runs
    clock.pass_seconds(30)
    with pytest.raises(AccessError, match="failed with exit code 1"):
        await access.headers()


async def test_a_refused_token_is_not_used_again(plugin: Plugin, kubeconfigs: Any) -> None:
    """After a 401 a plugin that fails is an error, however long its last token would be good."""
    clock = SteppedClock()
    path = kubeconfigs.write(
        {}, plugin.prints({"token": "old", "expirationTimestamp": later(clock, 600)})
    )
    access = await load_access(kubeconfig=path, clock=clock)
    await access.headers()
    plugin.does("exit 1")

    access.forget_credentials()

    with pytest.raises(AccessError, match="failed with exit code 1"):
        await access.headers()
    assert f"does not accept what {plugin.name} printed: log in with" in str(access.refused())


async def test_a_token_that_is_refused_while_its_successor_is_fetched(
    plugin: Plugin, kubeconfigs: Any
) -> None:
    """A 401 for the last token counts also where its renewal is under way, and then fails."""
    clock = SteppedClock()
    status = {"token": "old", "expirationTimestamp": later(clock, 600)}
    access = await load_access(kubeconfig=kubeconfigs.write({}, plugin.prints(status)), clock=clock)
    await access.headers()
    plugin.does(f"echo $$ >{plugin.folder}/pid; sleep 0.3; exit 1")
    clock.pass_seconds(550)
    waiting = asyncio.create_task(access.headers())
    await number_in(plugin.folder / "pid")

    access.forget_credentials()

    with pytest.raises(AccessError, match="failed with exit code 1"):
        await waiting


async def test_a_new_certificate_is_shown_on_new_connections(
    plugin: Plugin, pki: Pki, wire: Wire, kubeconfigs: Any
) -> None:
    """When a plugin gives another certificate, the next request shows it."""

    def prints(stem: str) -> dict[str, Any]:
        certificate, key = ((pki.folder / f"{stem}.{end}").read_text() for end in ("pem", "key"))
        return plugin.prints({"clientCertificateData": certificate, "clientKeyData": key})

    access = await load_access(kubeconfig=kubeconfigs.write({}, prints("client")))
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            await ask_in(session, access)
        prints("other")
        access.forget_credentials()
        await ask_in(session, access)

    assert ["alice", "alice", "bob"] == [seen.certificate for seen in wire.seen]


def later(clock: SteppedClock, seconds: float) -> str:
    """A time on the clock's own day, as a plugin prints it."""
    instant = clock.now().replace(microsecond=0) + timedelta(seconds=seconds)
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
