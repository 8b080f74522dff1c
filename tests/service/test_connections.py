from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from github_payloads import MARKED, issue_comment
from hook_sender import headers_of, hook
from served import Replica, Served, get_json
from standing_still import standing_still

_FINDING = {"severity": "High", "issue_type": "Bug", "description": "an empty name fails"}
_POST = {"task_id": "1", "findings": [_FINDING]}
_PLACES = 384
_HEAD_SECONDS = 10
_LARGEST = 8_000_000
_MORE_THAN_FIT = 16
_ASKED = b"POST /v1/github HTTP/1.1\r\nHost: x\r\n"
_SILENT = {
    "before a request": b"",
    "in the middle of the head": _ASKED,
    "before the body": _ASKED + b"Content-Length: 9\r\n\r\n",
    "in the middle of the body": _ASKED + b"Transfer-Encoding: chunked\r\n\r\n9\r\nx",
    "after an answer": b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
}
_SECRET = "ghp_" + "a1B2" * 9
_NO_HTTP = {
    "a header with a control character": f"GET / HTTP/1.1\r\nA: {_SECRET}\0\r\n\r\n",
    "two lengths": f"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: {_SECRET}\r\n\r\n",
    "a path that is none": f"GET http://[{_SECRET} HTTP/1.1\r\n\r\n",
    "a long line": f"GET /{_SECRET}{'a' * 9000} HTTP/1.1\r\n\r\n",
    "no HTTP at all": f"{_SECRET}\r\n\r\n",
}


@contextlib.contextmanager
def _connected(replica: Replica, sent: bytes = b"") -> Iterator[socket.socket]:
    address = urlsplit(replica.intake)
    assert address.hostname is not None
    assert address.port is not None
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(sent)
        yield connection


def _until_ended(connection: socket.socket) -> bytes:
    """What comes until the other side ends it."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            got += piece
    return got


@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
@pytest.mark.parametrize("silent", _SILENT.values(), ids=_SILENT.keys())
def test_senders_who_fall_silent_shut_nobody_out(served: Served, silent: bytes) -> None:
    """All places are held by connections that say nothing more: whoever comes next is answered at once."""
    replica = served.start()
    replica.wait_until_ready()
    with contextlib.ExitStack() as stack:
        for _ in range(_PLACES):
            stack.enter_context(_connected(replica, silent))
        assert 202 == served.post(replica, _POST)[0]


@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
async def test_who_waits_for_an_answer_keeps_its_place(
    served: Served, request: pytest.FixtureRequest
) -> None:
    """It was silent for longest of all who are there, and it has said all that it had to say."""
    replica = served.start()
    replica.wait_until_ready()
    async with standing_still(served, request) as stand_still:
        with contextlib.ExitStack() as stack:
            async with stand_still():
                answer = asyncio.create_task(asyncio.to_thread(served.post, replica, _POST))
                await asyncio.sleep(0.5)
                for _ in range(_PLACES + _MORE_THAN_FIT):
                    stack.enter_context(_connected(replica))
            assert 202 == (await answer)[0]


@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
def test_a_head_that_does_not_come_is_not_waited_for(served: Served) -> None:
    """A connection whose first request has no head after ten seconds ends."""
    replica = served.start()
    replica.wait_until_ready()
    for silent in (b"", _ASKED):
        with _connected(replica, silent) as connection:
            begun_seconds = time.monotonic()
            assert b"" == _until_ended(connection)
            assert _HEAD_SECONDS - 1 < time.monotonic() - begun_seconds < _HEAD_SECONDS + 5


@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
def test_who_is_refused_keeps_no_connection(served: Served) -> None:
    """Who is let in may ask again over the same connection; who is refused is answered, and it ends."""
    replica = served.start()
    replica.wait_until_ready()
    with _connected(replica, _ASKED + b"Content-Length: 2\r\n\r\n{}") as connection:
        assert b"401" in _until_ended(connection).splitlines()[0]
    body = json.dumps(_POST).encode()
    head = f"POST /v1/feedback HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.token}\r\n"
    whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with _connected(replica, whole) as connection:
        for _ in range(2):
            assert b"202" in connection.recv(65_536).splitlines()[0]
            connection.sendall(whole)


@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
def test_what_is_no_http_is_answered_as_the_rest_and_not_repeated(served: Served) -> None:
    """The answer is a JSON object that names no software, with no word of what was sent, nor has the log."""
    replica = served.start()
    replica.wait_until_ready()
    for name, sent in _NO_HTTP.items():
        with _connected(replica, sent.encode()) as connection:
            head, _, body = _until_ended(connection).partition(b"\r\n\r\n")
        assert b"400" in head.splitlines()[0], name
        assert b"application/json" in head, name
        assert b"aiohttp" not in head.lower(), name
        assert {"result": "refused", "reason": "Bad Request"} == json.loads(body), name
    assert _SECRET not in replica.log_path.read_text()


@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
def test_what_is_compressed_is_refused_however_that_is_said(served: Served) -> None:
    """Nothing is decompressed, whether it is signed as it was or as it is sent."""
    replica = served.start()
    replica.wait_until_ready()
    good = hook("issue_comment", issue_comment())
    packed = good._replace(body=gzip.compress(good.body))
    for signed in (good, packed):
        headers = headers_of(signed, served.secret)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        said = "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"
        length = f"Content-Length: {len(packed.body)}\r\n\r\n"
        sent = _ASKED + f"{lines}{said}{length}".encode() + packed.body
        with _connected(replica, sent) as connection:
            assert b"415" in _until_ended(connection).splitlines()[0]
    assert 200 == get_json(f"{replica.admin}/readyz")[0]


@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
def test_bodies_that_do_not_end_hold_up_none_that_does(served: Served) -> None:
    """Of more than fits at once those that came first are refused as slow; whoever sends at once is let in."""
    replica = served.start()
    replica.wait_until_ready()
    half = _LARGEST // 2
    begun = _ASKED + f"Content-Length: {_LARGEST}\r\n\r\n".encode() + b"x" * half
    large = hook("issue_comment", issue_comment(body=f"{MARKED}{'a long story ' * 50_000}"))
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(_connected(replica, begun)) for _ in range(_MORE_THAN_FIT)]
        begun_seconds = time.monotonic()
        headers = headers_of(large, served.secret)
        told = get_json(f"{replica.intake}/v1/github", large.body, headers)
        assert (202, "queued") == (told[0], told[1]["result"])
        assert time.monotonic() - begun_seconds < _HEAD_SECONDS / 2
        assert b"408" in held[0].recv(65_536).splitlines()[0]
        assert time.monotonic() - begun_seconds < _HEAD_SECONDS / 2
        held[-1].sendall(b"x" * (_LARGEST - half))
        assert b"401" in held[-1].recv(65_536).splitlines()[0]
