"""Requests to an API server through everything that can go wrong on the way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import fault_proxy as faults
import pytest
from fault_proxy import Fault, FaultProxy
from kube_client import CONFIGMAPS, OpenApi
from rights import grant
from wire import Pki

from controlplane import Cluster
from mendloop.core.errors import (
    AccessError,
    DocumentExists,
    NotPermitted,
    RevisionConflict,
    StoreError,
    StoreUnavailable,
)
from mendloop.kube.api import Api

Make = Callable[..., bytes]
Call = Callable[[Api, bytes], Awaitable[object]]

PATIENCE_SECONDS = 20
A = b'{"metadata": {"name": "a", "labels": {"l": "1"}}, "data": {"f": "1"}}'
ALL = ("get", "list", "watch", "create", "patch", "delete")


def delete_options(on: bytes) -> bytes:
    read = json.loads(on)["metadata"]
    wanted = {"uid": read["uid"], "resourceVersion": read["resourceVersion"]}
    return json.dumps({"preconditions": wanted}).encode()


async def watch_once(api: Api) -> bytes:
    query = {"resourceVersion": "0", "timeoutSeconds": "5"}
    async with api.watch(CONFIGMAPS, query, silence_seconds=5) as pieces:
        return await anext(pieces)


@pytest.fixture
def calls(make: Make) -> dict[str, Call]:
    """One call of each verb, on an object that is there."""
    return {
        "get": lambda api, _: api.get(CONFIGMAPS, "a"),
        "list": lambda api, _: api.list(CONFIGMAPS, {"limit": "5"}),
        "watch": lambda api, _: watch_once(api),
        "create": lambda api, _: api.create(CONFIGMAPS, make("b")),
        "patch": lambda api, on: api.apply(CONFIGMAPS, "a", make("a", on=on, f="2")),
        "delete": lambda api, on: api.delete(CONFIGMAPS, "a", delete_options(on)),
    }


async def test_objects_are_made_read_applied_and_removed(api: Api, make: Make) -> None:
    """Each call does what it says, and gives the object as the server has it."""
    made = await api.create(CONFIGMAPS, make(f="1"))
    assert made == await api.get(CONFIGMAPS, "a")
    applied = await api.apply(CONFIGMAPS, "a", make(on=made, f="2"))
    assert {"f": "2"} == json.loads(applied)["data"]
    listed = json.loads(await api.list(CONFIGMAPS, {"labelSelector": "l=1"}))
    assert ["a"] == [item["metadata"]["name"] for item in listed["items"]]
    await api.delete(CONFIGMAPS, "a", delete_options(applied))
    assert await api.get(CONFIGMAPS, "a") is None


async def test_lost_races_are_refused(api: Api, make: Make) -> None:
    """Whoever comes second is told so, in each way in which one can come second."""
    first = await api.create(CONFIGMAPS, make(f="1"))
    with pytest.raises(DocumentExists):
        await api.create(CONFIGMAPS, make(f="2"))
    newest = await api.apply(CONFIGMAPS, "a", make(on=first, f="2"))
    for call in (
        api.apply(CONFIGMAPS, "a", make(on=first, f="3")),
        api.delete(CONFIGMAPS, "a", delete_options(first)),
    ):
        with pytest.raises(RevisionConflict):
            await call
    await api.delete(CONFIGMAPS, "a", delete_options(newest))
    again = await api.create(CONFIGMAPS, make(f="4"))
    for call in (
        api.apply(CONFIGMAPS, "a", make(on=newest, f="5")),
        api.delete(CONFIGMAPS, "a", delete_options(newest)),
    ):
        with pytest.raises(RevisionConflict):
            await call
    assert again == await api.get(CONFIGMAPS, "a")


async def test_connections_are_kept(api: Api, proxy: FaultProxy) -> None:
    """Requests one after another share one connection."""
    for _ in range(20):
        await api.get(CONFIGMAPS, "a")
    assert 1 == proxy.connections


@pytest.mark.parametrize("verb", ALL)
async def test_throttled_call_comes_again_when_it_may(
    api: Api, proxy: FaultProxy, calls: dict[str, Call], verb: str
) -> None:
    """After a 429 in plain text, every verb waits as long as it is asked to, and then succeeds."""
    on = await api.create(CONFIGMAPS, A)
    proxy.choose = faults.in_turn([faults.THROTTLED], verbs=ALL)
    await calls[verb](api, on)
    first, second = [e for e in proxy.exchanges if e.request.verb == verb][-2:]
    assert (429, True) == (first.status, second.status < 300)
    assert 0.99 <= second.at - first.at < 5


async def test_throttled_server_is_asked_once_a_pause(api: Api, proxy: FaultProxy) -> None:
    """However many calls wait, a throttled server gets at most two requests a second."""
    proxy.choose = faults.always(faults.THROTTLED, verbs=ALL)
    waiting = [asyncio.create_task(api.get(CONFIGMAPS, f"a{n}")) for n in range(30)]
    await asyncio.sleep(1)
    begun = len(proxy.exchanges)
    await asyncio.sleep(4)
    assert 2 <= len(proxy.exchanges) - begun <= 8
    proxy.choose = faults.never
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert [None] * 30 == await asyncio.gather(*waiting)


async def test_overload_that_stays_is_given_up_in_time(
    open_api: OpenApi, proxy: FaultProxy
) -> None:
    """Who is asked to wait longer than there is patience is told so, and that nothing was done."""
    api = await open_api(patience_seconds=1.5)
    proxy.choose = faults.always(faults.THROTTLED, verbs=ALL)
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="overloaded") as caught:
        await api.create(CONFIGMAPS, b"{}")
    assert 0.9 <= time.monotonic() - begun < 4
    assert not caught.value.maybe_stored
    proxy.choose = faults.always(
        Fault(is_forwarded=False, answer=faults.Answer(429, b"", retry_after="100")), verbs=ALL
    )
    begun, api = time.monotonic(), await open_api(patience_seconds=1.5)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=r"in (100|99) s"):
            await api.get(CONFIGMAPS, "a")
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("fault", [faults.BUSY, faults.TIMED_OUT], ids=["busy", "timed-out"])
@pytest.mark.parametrize("verb", ALL)
async def test_busy_server_is_asked_again_for_reads_alone(
    api: Api, proxy: FaultProxy, calls: dict[str, Call], verb: str, fault: Fault
) -> None:
    """After a 500 or 504 with a pause reads come again; a write may have landed, and is told."""
    on = await api.create(CONFIGMAPS, A)
    proxy.choose = faults.in_turn([fault], verbs=ALL)
    before = proxy.count(verb)
    if verb in faults.WRITES:
        with pytest.raises(StoreUnavailable) as caught:
            await calls[verb](api, on)
        assert (True, 1) == (caught.value.maybe_stored, proxy.count(verb) - before)
        await api.get(CONFIGMAPS, "a")
    else:
        await calls[verb](api, on)
    first, second = proxy.exchanges[-2:]
    assert 0.99 <= second.at - first.at < 5


_BREAKS = {
    "reset-before": faults.RESET_BEFORE_REQUEST,
    "reset-after": faults.RESET_AFTER_REQUEST,
    "lost-answer": faults.LOST_ANSWER,
    "cut-answer": faults.CUT_ANSWER,
    "unavailable": faults.UNAVAILABLE,
    "internal": faults.INTERNAL_ERROR,
    "stored-but-timed-out": faults.STORED_BUT_TIMED_OUT,
}


@pytest.mark.parametrize("fault", _BREAKS.values(), ids=_BREAKS.keys())
@pytest.mark.parametrize("verb", sorted(faults.WRITES - {"update"}))
async def test_write_whose_answer_is_lost_is_sent_once(
    api: Api, proxy: FaultProxy, calls: dict[str, Call], verb: str, fault: Fault
) -> None:
    """A write that may have landed is never sent again by itself, also on a used connection."""
    on = await api.create(CONFIGMAPS, A)
    proxy.choose = faults.always(fault)
    before = proxy.count(verb)
    with pytest.raises(StoreUnavailable) as caught:
        await calls[verb](api, on)
    assert (True, 1) == (caught.value.maybe_stored, proxy.count(verb) - before)


@pytest.mark.parametrize("fault", [faults.LOST_ANSWER, faults.UNAVAILABLE, faults.CUT_ANSWER])
async def test_read_that_fails_says_that_nothing_was_stored(
    api: Api, proxy: FaultProxy, fault: Fault
) -> None:
    """A read stores nothing, however it fails, and the next one works."""
    proxy.choose = faults.in_turn([fault, fault], verbs=["get"])
    with pytest.raises(StoreUnavailable) as caught:
        await api.get(CONFIGMAPS, "a")
    assert not caught.value.maybe_stored
    proxy.choose = faults.never
    assert await api.get(CONFIGMAPS, "a") is None


async def test_refused_connection_says_that_nothing_was_stored(
    api: Api, proxy: FaultProxy, make: Make
) -> None:
    """Where nobody listens nothing was sent; once somebody does, the same client works."""
    await api.get(CONFIGMAPS, "a")
    async with proxy.outage():
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="cannot connect") as caught:
                await api.create(CONFIGMAPS, make())
            assert not caught.value.maybe_stored
    await api.create(CONFIGMAPS, make())


@pytest.mark.parametrize("fault", [faults.SILENCE, faults.SLOW_DRIP], ids=["silence", "drip"])
async def test_slow_answer_is_given_up_in_time(
    open_api: OpenApi, proxy: FaultProxy, make: Make, fault: Fault
) -> None:
    """An answer that does not come, or not to its end, is not waited for beyond its time."""
    api = await open_api(answer_seconds=0.5)
    proxy.choose = faults.always(fault)
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        await api.create(CONFIGMAPS, make(f="x" * 20_000))
    assert 0.4 <= time.monotonic() - begun < 3
    assert caught.value.maybe_stored


async def test_cancelled_calls_hold_up_nobody(api: Api, proxy: FaultProxy) -> None:
    """A caller that loses patience leaves neither a connection in disorder nor a turn that is taken."""
    proxy.choose = faults.in_turn([faults.SILENCE] * 5 + [faults.THROTTLED] * 5, verbs=["get"])
    for _ in range(10):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(api.get(CONFIGMAPS, "a"), 0.1)
    proxy.choose = faults.never
    async with asyncio.timeout(5):
        assert await api.get(CONFIGMAPS, "a") is None


@pytest.mark.parametrize("verb", ALL)
async def test_missing_permission_is_named(
    open_api: OpenApi, control_plane: Cluster, namespace: str, calls: dict[str, Call], verb: str
) -> None:
    """A user without rights is told verb, resource and namespace."""
    api = await open_api()
    on = await api.create(CONFIGMAPS, A)
    token = control_plane.service_account_token(namespace, "nobody")
    stranger = await open_api(token=token)
    with pytest.raises(NotPermitted) as caught:
        await calls[verb](stranger, on)
    error = caught.value
    assert (verb, "configmaps", namespace) == (error.verb, error.resource, error.namespace)


@pytest.mark.parametrize("verb", ALL)
async def test_rights_that_come_back_were_never_missed(
    open_api: OpenApi, control_plane: Cluster, namespace: str, calls: dict[str, Call], verb: str
) -> None:
    """An API server that has just begun refuses all: who was let in before asks again."""
    bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    api = await open_api(token=await asyncio.to_thread(grant, control_plane, namespace))
    on = await api.create(CONFIGMAPS, A)
    on = on if verb == "create" else await _used(api, calls, verb, on)
    binding = control_plane.request("GET", f"{bindings}/mendloop")
    control_plane.request("DELETE", f"{bindings}/mendloop")
    await asyncio.sleep(0.5)
    waiting = asyncio.create_task(_as_result(calls[verb](api, on)))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    for name in ("resourceVersion", "uid", "creationTimestamp"):
        del binding["metadata"][name]
    control_plane.request("POST", bindings, binding)
    await waiting


async def _as_result(call: Awaitable[object]) -> object:
    return await call


async def _used(api: Api, calls: dict[str, Call], verb: str, on: bytes) -> bytes:
    """Use a verb once; returns the object as it is then."""
    await calls[verb](api, on)
    return await api.get(CONFIGMAPS, "a") or await api.create(CONFIGMAPS, A)


async def test_rights_that_stay_away_are_missed_in_time(
    open_api: OpenApi, control_plane: Cluster, namespace: str
) -> None:
    """After some seconds it is said; the next call is refused at once."""
    bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    api = await open_api(token=await asyncio.to_thread(grant, control_plane, namespace))
    await api.get(CONFIGMAPS, "a")
    control_plane.request("DELETE", f"{bindings}/mendloop")
    await asyncio.sleep(0.5)
    for least, most in ((4, 10), (0, 2)):
        begun = time.monotonic()
        with pytest.raises(NotPermitted):
            await api.get(CONFIGMAPS, "a")
        assert least < time.monotonic() - begun < most


async def test_wrong_credentials_are_tried_twice_and_named(
    open_api: OpenApi, proxy: FaultProxy
) -> None:
    """After a 401 the credentials are asked for again, once; then it is said what to do."""
    api = await open_api(token="wrong")  # noqa: S106 - no secret
    with pytest.raises(AccessError, match="does not accept the token"):
        await api.get(CONFIGMAPS, "a")
    assert [401, 401] == [exchange.status for exchange in proxy.exchanges]


async def test_certificate_of_somebody_else_is_refused(
    open_api: OpenApi, control_plane: Cluster, pki: Pki
) -> None:
    """A server that the kubeconfig's authority does not vouch for gets no request."""
    stranger = Cluster(pki.folder, control_plane.binaries, control_plane.port, "x")
    stranger.ca_file.parent.mkdir()
    (pki.folder / "stranger.pem").rename(stranger.ca_file)
    api = await open_api(stranger)
    with pytest.raises(AccessError, match="certificate that is not trusted"):
        await api.get(CONFIGMAPS, "a")


async def test_server_that_is_no_api_server_is_never_taken_for_empty(
    open_api: OpenApi, proxy: FaultProxy
) -> None:
    """Pages of a web server are no absence: a wrong URL is an error and not a new beginning."""
    api = await open_api()
    for status, body in ((404, b"404 page not found"), (302, b""), (404, b"{}"), (410, b"")):
        answer = faults.Answer(status, body, content_type="text/html")
        proxy.choose = faults.always(Fault(is_forwarded=False, answer=answer), verbs=ALL)
        with pytest.raises(StoreError):
            await api.get(CONFIGMAPS, "a")


async def test_close_waits_for_calls_and_refuses_new_ones(
    open_api: OpenApi, proxy: FaultProxy, make: Make
) -> None:
    """What is under way at the close is answered; what comes later is refused with words."""
    api = await open_api()
    proxy.choose = faults.in_turn([faults.delayed(0.3)])
    writing = asyncio.create_task(api.create(CONFIGMAPS, make()))
    await asyncio.sleep(0.1)
    await api.close()
    assert writing.done()
    assert "a" == json.loads(await writing)["metadata"]["name"]
    with pytest.raises(StoreError, match="closed"):
        await api.get(CONFIGMAPS, "a")
    await api.close()


async def test_call_that_waits_for_its_turn_ends_with_the_close(
    open_api: OpenApi, proxy: FaultProxy
) -> None:
    """A close does not wait for an overloaded server."""
    api = await open_api(patience_seconds=60)
    proxy.choose = faults.always(faults.THROTTLED, verbs=ALL)
    waiting = [asyncio.create_task(api.get(CONFIGMAPS, "a")) for _ in range(5)]
    await asyncio.sleep(0.2)
    async with asyncio.timeout(5):
        await api.close()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [StoreError] * 5 == [type(error) for error in told]


async def test_large_bodies_go_through(api: Api, make: Make) -> None:
    """A full object is written and read back."""
    text = "\u044f" * 500_000
    made = await api.create(CONFIGMAPS, make(f=text))
    assert {"f": text} == json.loads(made)["data"]
    assert made == await api.get(CONFIGMAPS, "a")
