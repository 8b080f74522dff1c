"""A credential plugin: whatever becomes of it, no request goes without what it should have given."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from clocks import SteppedClock
from wire import Pki, Wire, ask, ask_in

from mendloop.core.errors import AccessError
from mendloop.kube.access import load_access

V1 = "client.authentication.k8s.io/v1"
GONE_SECONDS = 10


class Plugin:
    """A shell script as a plugin; it counts its runs in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "login.sh"

    @property
    def name(self) -> str:
        return f"the exec plugin {str(self._file)!a} of user 'u'"

    @property
    def runs(self) -> int:
        counted = self.folder / "runs"
        return len(counted.read_text()) if counted.exists() else 0

    def does(self, script: str) -> dict[str, Any]:
        """Write it, and return the user that has it."""
        self._file.write_text(f"#!/bin/sh\nprintf x >>{self.folder}/runs\n{script}\n")
        self._file.chmod(0o700)
        return {
            "exec": {"command": "./login.sh", "apiVersion": V1, "interactiveMode": "Never"},
            # A request with these would be one that somebody has asked for; none is sent.
            "as": "carol",
        }

    def prints(self, status: dict[str, Any]) -> dict[str, Any]:
        """Let it print a credential, and return the user that has it."""
        return self.does(f"cat <<'END'\n{credential(status)}\nEND")


def credential(status: dict[str, Any]) -> str:
    """An ExecCredential."""
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """A plugin beside the kubeconfig."""
    return Plugin(tmp_path)


FAILING = [
    ("fails", "echo no luck >&2; exit 3", "failed with exit code 3; it said: no luck"),
    ("fails in silence", "exit 1", "failed with exit code 1"),
    ("is killed", "kill -9 $$", "was ended by signal 9"),
    (
        "hangs",
        "echo waiting >&2; sleep 60",
        "did not end within 1 s and was ended; it said: waiting",
    ),
    ("prints nothing", "", "printed no ExecCredential in JSON"),
    ("prints garbage", "echo '<html>'", "printed no ExecCredential in JSON"),
    ("prints bytes", "printf '\\377\\376'", "printed no ExecCredential in JSON"),
    ("prints another kind", """echo '{"kind": "Status"}'""", "printed no ExecCredential"),
    ("prints without end", "yes", "printed more than 1048576 bytes"),
    (
        "prints another version",
        f"echo '{credential({'token': 't'}).replace('/v1', '/v1beta1')}'",
        "printed the apiVersion 'client.authentication.k8s.io/v1beta1', and the kubeconfig says 'client.authentication.k8s.io/v1': set exec.apiVersion to what it prints",
    ),
    (
        "gives nothing",
        f"echo '{credential({})}'; echo why >&2",
        "printed no credentials; it said: why",
    ),
    ("gives null", f"echo '{credential({'token': None})}'", "printed no credentials"),
    ("gives a number", f"echo '{credential({'token': 7})}'", "printed no ExecCredential in JSON"),
    (
        "gives a certificate alone",
        f"echo '{credential({'clientCertificateData': 'c', 'token': 't'})}'",
        "printed a certificate or a key, and not both",
    ),
    (
        "gives what is expired",
        f"echo '{credential({'token': 't', 'expirationTimestamp': '2020-01-01T00:00:00Z'})}'",
        "printed credentials that expired at 2020-01-01T00:00:00+00:00: log in with it again, or set this machine's clock",
    ),
]


@pytest.mark.parametrize(
    ("script", "message"), [row[1:] for row in FAILING], ids=[r[0] for r in FAILING]
)
async def test_a_failing_plugin_sends_nothing(
    script: str, message: str, wire: Wire, plugin: Plugin, kubeconfigs: Any
) -> None:
    """A plugin that gives no credentials is an error that names it, and no request."""
    path = kubeconfigs.write({}, plugin.does(script))
    access = await load_access(kubeconfig=path, plugin_timeout_seconds=1)

    for _ in range(2):
        with pytest.raises(AccessError) as caught:
            await ask(access)
        assert f"{plugin.name} {message}" == str(caught.value)
    await access.close()

    assert [] == wire.seen
    assert 0 == wire.handshakes
    assert 2 == plugin.runs


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            {"token": "a\nb"},
            "the token from {} has a character that a header cannot have, such as a line end",
        ),
        (
            {"clientCertificateData": "c", "clientKeyData": "k", "token": "t"},
            "{} cannot be used: certificate and key: not PEM",
        ),
    ],
)
async def test_a_credential_that_cannot_be_used_sends_nothing(
    status: dict[str, str],
    message: str,
    wire: Wire,
    plugin: Plugin,
    kubeconfigs: Any,
) -> None:
    """What no request can carry is an error each time, and no request without it."""
    access = await load_access(kubeconfig=kubeconfigs.write({}, plugin.prints(status)))

    for _ in range(2):
        with pytest.raises(AccessError) as caught:
            await ask(access)
        assert message.format(plugin.name) == str(caught.value)

    assert [] == wire.seen


async def test_a_plugin_that_is_not_there_gives_its_hint(wire: Wire, kubeconfigs: Any) -> None:
    """A missing program is told with the hint that the kubeconfig has, without its escapes."""
    user = {
        "exec": {
            "command": "no-such-plugin",
            "apiVersion": V1,
            "interactiveMode": "Never",
            "installHint": "brew \x1b[31minstall\x1b[0m\n  login",
        }
    }
    access = await load_access(kubeconfig=kubeconfigs.write({}, user))

    with pytest.raises(AccessError) as caught:
        await ask(access)

    assert (
        "the exec plugin 'no-such-plugin' of user 'u' is not found: install it, or correct "
        "exec.command; its hint: brew install login"
    ) == str(caught.value)
    assert [] == wire.seen


async def test_a_plugin_that_cannot_be_started_is_told(plugin: Plugin, kubeconfigs: Any) -> None:
    """A file that is no program, and an argument that no program can get, are told."""
    user = plugin.does("")
    (plugin.folder / "login.sh").write_bytes(b"\x7fELF nonsense")
    access = await load_access(kubeconfig=kubeconfigs.write({}, user))
    with pytest.raises(AccessError, match="cannot be started: Exec format error"):
        await access.headers()

    user["exec"]["args"] = ["a\0b"]
    access = await load_access(kubeconfig=kubeconfigs.write({}, user))
    with pytest.raises(AccessError, match="cannot be started: an argument or a variable is not"):
        await access.headers()


async def test_what_a_plugin_said_is_shown_without_secrets(
    plugin: Plugin, kubeconfigs: Any
) -> None:
    """The end of what a plugin complained of is one line, without escapes and known secrets."""
    secret = "ghp_" + "A1b2" * 9
    script = f"yes chatter | head -c 100000 >&2; printf '\\033[31mtoken: {secret}\\n\\nso\\n' >&2; exit 1"
    access = await load_access(kubeconfig=kubeconfigs.write({}, plugin.does(script)))

    with pytest.raises(AccessError) as caught:
        await access.headers()

    told = str(caught.value)
    assert told.endswith("so")
    assert len(told) < 800
    assert secret not in told
    assert "\x1b" not in told
    assert "\n" not in told


async def test_a_plugin_that_hangs_is_ended_with_what_it_started(
    plugin: Plugin, kubeconfigs: Any
) -> None:
    """At the end of its time the whole process group goes, also what will not go by itself."""
    script = "trap '' TERM; (trap '' TERM; sleep 61) & echo $! >child; sleep 62"
    user = plugin.does(f"cd {plugin.folder}; {script}")
    access = await load_access(kubeconfig=kubeconfigs.write({}, user), plugin_timeout_seconds=0.5)

    with pytest.raises(AccessError, match=r"did not end within 0\.5 s and was ended"):
        await access.headers()

    await gone(int((plugin.folder / "child").read_text()))


async def test_closing_ends_a_plugin(plugin: Plugin, kubeconfigs: Any) -> None:
    """Whoever closes an access leaves no plugin running, and the one who waits is told."""
    user = plugin.does(f"echo $$ >{plugin.folder}/pid; exec sleep 63")
    access = await load_access(kubeconfig=kubeconfigs.write({}, user))
    waiting = asyncio.create_task(access.headers())
    pid = await number_in(plugin.folder / "pid")

    await access.close()

    await gone(pid)
    with pytest.raises(AccessError, match="was ended, since its user closed the store"):
        await waiting


async def test_what_a_plugin_leaves_in_the_background_holds_up_nobody(
    plugin: Plugin, wire: Wire, kubeconfigs: Any
) -> None:
    """A plugin that leaves a helper with its pipes open has given its credential, and so it counts."""
    user = plugin.does(f"sleep 5 & cat <<'END'\n{credential({'token': 't'})}\nEND")
    access = await load_access(kubeconfig=kubeconfigs.write({}, user))
    started = time.monotonic()

    await ask(access)

    assert time.monotonic() - started < 4
    assert ["Bearer t"] == [seen.authorization for seen in wire.seen]


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
    user = plugin.does(f"sleep 0.5; cat <<'END'\n{credential({'token': 't'})}\nEND")
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


async def number_in(path: Path) -> int:
    """Wait for a file with a number in it."""
    while not path.exists() or not path.read_text().endswith("\n"):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.02)
    return int(path.read_text())


async def gone(pid: int) -> None:
    """Wait until a process is gone, or only an exit code that nobody has asked for."""
    deadline = time.monotonic() + GONE_SECONDS
    while _state(pid) not in {"", "Z"}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _state(pid: int) -> str:
    shown = ["ps", "-o", "stat=", "-p", str(pid)]
    return subprocess.run(shown, capture_output=True, check=False, text=True).stdout[:1]
