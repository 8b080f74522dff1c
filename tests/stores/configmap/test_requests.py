"""What a call costs, and what a caller is told where its answer is lost."""

from __future__ import annotations

import base64
import json

import fault_proxy as faults
import pytest
from configmaps import HEAD, read_head
from fault_proxy import Answer, Fault, FaultProxy

from mendloop.core.errors import RevisionConflict, StoreUnavailable
from mendloop.stores.configmap import ConfigMapStore


async def test_each_call_is_one_request(store: ConfigMapStore, proxy: FaultProxy) -> None:
    """Reads, writes and pages cost one request each, also where others have put something in."""
    document = await store.create(*HEAD, b"1", fields={"f": "1"})
    document = await store.replace(document, b"2", fields={"g": "1"})
    document = await store.replace(document, b"3")
    await store.get(*HEAD)
    await store.list("head")
    await store.delete(document)
    verbs = [exchange.request.verb for exchange in proxy.exchanges]
    assert ["create", "patch", "patch", "get", "list", "delete"] == verbs


async def test_made_up_revision_costs_no_request(store: ConfigMapStore, proxy: FaultProxy) -> None:
    """What cannot be a version is refused here, since a server would take "0" for none at all."""
    made = await store.create(*HEAD, b"1")
    uid = made.revision.split("/")[0]
    before = len(proxy.exchanges)
    for revision in ("", "0", uid, f"{uid}/", f"{uid}/0", f"{uid}/-1", "/1", f"{uid}/1/2"):
        stale = type(made)(
            **{name: getattr(made, name) for name in made.__struct_fields__}
            | {"revision": revision}
        )
        with pytest.raises(RevisionConflict):
            await store.replace(stale, b"2")
        with pytest.raises(RevisionConflict):
            await store.delete(stale)
    assert before == len(proxy.exchanges)


async def test_listing_goes_on_when_its_moment_has_expired(
    store: ConfigMapStore, proxy: FaultProxy
) -> None:
    """Where the server no longer keeps the first page's moment, the rest is as of now."""
    for key in "abcdef":
        await store.create("head", key, b"1")
    first = await store.list("head", limit=2)
    token = {"v": "meta.k8s.io/v1", "rv": -1, "start": "b\0"}
    following = base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
    body = {"kind": "Status", "code": 410, "reason": "Expired"}
    expired = json.dumps(body | {"metadata": {"continue": following}}).encode()
    proxy.choose = faults.in_turn(
        [Fault(is_forwarded=False, answer=Answer(410, expired))], verbs=["list"]
    )
    page = await store.list("head", cursor=first.cursor)
    assert ["c", "d", "e", "f"] == [document.key for document in page.documents]


@pytest.mark.parametrize("fault", [faults.LOST_ANSWER, faults.STORED_BUT_TIMED_OUT])
async def test_write_whose_answer_is_lost_is_told_as_maybe_stored(
    store: ConfigMapStore, proxy: FaultProxy, fault: Fault
) -> None:
    """The caller is told that it may have landed, and a second try with the old revision does not."""
    made = await store.create(*HEAD, b"1")
    proxy.choose = faults.in_turn([fault])
    with pytest.raises(StoreUnavailable) as caught:
        await store.replace(made, b"2")
    assert caught.value.maybe_stored
    assert b"2" == (await read_head(store)).body
    with pytest.raises(RevisionConflict):
        await store.replace(made, b"3")
