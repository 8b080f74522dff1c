"""A credential plugin: whatever becomes of it, no request goes without what it should have given."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import Any

import pytest
from plugins import Plugin, exec_credential, number_in
from wire import Wire, ask

from mendloop.core.errors import AccessError
from mendloop.kube.access import load_access

V1 = "client.authentication.k8s.io/v1"
GONE_SECONDS = 10


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
        f"echo '{exec_credential({'token': 't'}).replace('/v1', '/v1beta1')}'",
        "printed the apiVersion 'client.authentication.k8s.io/v1beta1', and the kubeconfig says 'client.authentication.k8s.io/v1': set exec.apiVersion to what it prints",
    ),
    (
        "gives nothing",
        f"echo '{exec_credential({})}'; echo why >&2",
        "printed no credentials; it said: why",
    ),
    ("gives null", f"echo '{exec_credential({'token': None})}'", "printed no credentials"),
    (
        "gives a number",
        f"echo '{exec_credential({'token': 7})}'",
        "printed no ExecCredential in JSON",
    ),
    (
        "gives a certificate alone",
        f"echo '{exec_credential({'clientCertificateData': 'c', 'token': 't'})}'",
        "printed a certificate or a key, and not both",
    ),
    (
        "gives what is expired",
        f"echo '{exec_credential({'token': 't', 'expirationTimestamp': '2020-01-01T00:00:00Z'})}'",
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
    started = time.monotonic()

    with pytest.raises(AccessError, match=r"did not end within 0\.5 s and was ended"):
        await access.headers()

    assert time.monotonic() - started < 30
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
    user = plugin.does(f"sleep 5 & cat <<'END'\n{exec_credential({'token': 't'})}\nEND")
    access = await load_access(kubeconfig=kubeconfigs.write({}, user))
    started = time.monotonic()

    await ask(access)

    assert time.monotonic() - started < 4
    assert ["Bearer t"] == [seen.authorization for seen in wire.seen]


async def gone(pid: int) -> None:
    """Wait until a process is gone, or only an exit code that nobody has asked for."""
    deadline = time.monotonic() + GONE_SECONDS
    while _state(pid) not in {"", "Z"}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _state(pid: int) -> str:
    shown = ["ps", "-o", "stat=", "-p", str(pid)]
    return subprocess.run(shown, capture_output=True, check=False, text=True).stdout[:1]
