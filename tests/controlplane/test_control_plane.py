from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from controlplane import RELEASES, APIError, Cluster, ControlPlane, ProgramMissing, programs

GONE_SECONDS = 10


def _configmaps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def test_a_server_names_its_release(control_plane: Cluster) -> None:
    """The API server is ready and has the version of a release, which clients look at."""
    version = control_plane.request("GET", "/version")

    assert control_plane.is_ready()
    assert re.fullmatch(r"v1\.[1-9]\d*\.\d+", version["gitVersion"])
    assert f"{version['major']}.{version['minor']}." in version["gitVersion"]


def test_namespaces_are_not_shared(control_plane: Cluster, namespace: str) -> None:
    """What one test keeps in its namespace is in no other's, and kubectl sees it too."""
    other = control_plane.namespace()

    control_plane.request("POST", _configmaps(namespace), {"metadata": {"name": "mine"}})

    listed = control_plane.kubectl("get", "configmap", "mine", "-n", namespace, "-o", "name")
    assert "configmap/mine\n" == listed
    with pytest.raises(APIError) as caught:
        control_plane.request("GET", f"{_configmaps(other)}/mine")
    assert 404 == caught.value.status


def test_a_service_account_has_no_rights(control_plane: Cluster, namespace: str) -> None:
    """A ServiceAccount's token is known to the API server, which refuses what no role allows."""
    token = control_plane.service_account_token(namespace, "agent")
    asked = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}

    review = control_plane.request(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", asked, token=token
    )
    with pytest.raises(APIError) as caught:
        control_plane.request("GET", _configmaps(namespace), token=token)

    user = review["status"]["userInfo"]["username"]
    assert f"system:serviceaccount:{namespace}:agent" == user
    assert 403 == caught.value.status


def test_what_is_owned_goes_with_its_owner(controllers: Cluster, namespace: str) -> None:
    """The garbage collector deletes a ConfigMap whose owner is deleted."""
    path = _configmaps(namespace)
    owner = controllers.request("POST", path, {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
    reference["uid"] = owner["metadata"]["uid"]
    controllers.request(
        "POST", path, {"metadata": {"name": "owned", "ownerReferences": [reference]}}
    )

    controllers.request("DELETE", f"{path}/owner")

    controllers.kubectl("wait", "--for=delete", "configmap/owned", "-n", namespace, "--timeout=60s")


def test_killed_servers_come_back_with_their_data(own_control_plane: ControlPlane) -> None:
    """After a kill -9 of both servers what was written is there, at the same address."""
    plane = own_control_plane
    path = _configmaps(plane.namespace())
    written = plane.request("POST", path, {"metadata": {"name": "kept"}})

    plane.apiserver.kill()
    plane.etcd.kill()
    with pytest.raises(ConnectionRefusedError):
        plane.request("GET", f"{path}/kept")
    plane.etcd.start()
    plane.apiserver.start()

    assert written == plane.request("GET", f"{path}/kept")


def test_a_paused_api_server_is_silent(own_control_plane: ControlPlane) -> None:
    """A paused API server takes connections and gives no answer, until it is resumed."""
    plane = own_control_plane

    plane.apiserver.pause()

    assert not plane.is_ready(patience_seconds=1)
    plane.apiserver.resume()
    assert plane.is_ready()


def test_no_server_outlives_a_killed_owner(kubernetes_programs: Path, tmp_path: Path) -> None:
    """When the process that started the servers is killed, they are gone within seconds."""
    script = """
        import sys
        from pathlib import Path
        from controlplane import ControlPlane
        with ControlPlane(Path(sys.argv[1]), Path(sys.argv[2])) as plane:
            servers = plane.etcd, plane.apiserver, plane.controller_manager
            print(*(server.pid for server in servers), flush=True)
            sys.stdin.read()
    """
    with _python(script, tmp_path / "plane", kubernetes_programs) as owner:
        assert owner.stdout is not None
        pids = owner.stdout.readline().split()
        owner.kill()

    assert 3 == len(set(pids))
    deadline = time.monotonic() + GONE_SECONDS
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, pids
        time.sleep(0.05)


def _python(script: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("is it ready?\n")
    process.stdin.flush()
    return process.stdout.readline()


def _leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def _runs(pid: str) -> bool:
    """Whether a process is there and is more than an exit code that nobody has asked for."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, check=False)
    return shown.stdout.strip()[:1] not in {b"", b"Z"}


def test_the_last_one_out_ends_the_shared_plane(kubernetes_programs: Path, tmp_path: Path) -> None:
    """Who started the servers stays until the others are out; a killed one's are replaced."""
    script = """
        import sys
        from pathlib import Path
        from controlplane import shared_control_plane
        with shared_control_plane(Path(sys.argv[1]), Path(sys.argv[2])) as cluster:
            print(cluster.url, flush=True)
            for line in sys.stdin:
                print(cluster.is_ready(), flush=True)
    """
    with ExitStack() as ending:

        def enter() -> tuple[subprocess.Popen[str], str]:
            process = _python(script, tmp_path / "shared", kubernetes_programs)
            ending.enter_context(process)
            ending.callback(process.kill)
            assert process.stdout is not None
            return process, process.stdout.readline()

        owner, url = enter()
        guest, same_url = enter()
        _leave(owner)
        with pytest.raises(subprocess.TimeoutExpired):
            owner.wait(1)
        is_served = _ask(guest)
        _leave(guest)
        assert [0, 0] == [guest.wait(30), owner.wait(30)]
        killed, killed_url = enter()
        killed.kill()
        heir, new_url = enter()
        is_served_again = _ask(heir)

    assert url == same_url
    assert is_served == is_served_again == "True\n"
    assert killed_url != new_url


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without the API server's program is refused in words that say what to do."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    (tmp_path / "etcd").touch(mode=0o755)

    with pytest.raises(ProgramMissing) as caught:
        programs(RELEASES[-1])

    expected = "has no program kube-apiserver: put it there, or unset KUBEBUILDER_ASSETS"
    assert expected in str(caught.value)
