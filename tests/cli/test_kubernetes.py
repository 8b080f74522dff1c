"""The command line on the store in a cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_user import User
from rights import grant

from controlplane import Cluster, program

ROOT = Path(__file__).parents[2]
_WITHOUT = """
import sys
sys.modules["aiohttp"] = None
from mendloop.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def test_a_loop_runs_on_a_cluster(
    cluster_user: User, todo: User, loop_arguments: tuple[str, ...], namespace: str
) -> None:
    """The same command as on a laptop; what it did is in the namespace for everyone."""
    done = cluster_user("run", "job", *loop_arguments)
    assert (0, "") == (done.code, done.err)
    listed = cluster_user("list", "-n", namespace, "-o", "json").json()["tasks"]
    assert [("job", "Completed")] == [(task["task_id"], task["status"]) for task in listed]
    assert "Completed" == cluster_user.state("job")["status"]
    for command in ("history", "explain"):
        assert 0 == cluster_user(command, "job").code
    assert not cluster_user.store.exists()


def test_the_namespace_is_chosen_in_either_way(
    cluster_user: User, control_plane: Cluster, namespace: str
) -> None:
    """By -n or --store, else by $MENDLOOP_STORE, else by the context; two options that differ are refused."""
    elsewhere = control_plane.namespace()
    cluster_user("increment", "here")
    cluster_user("increment", "there", "--store", f"kubernetes:{elsewhere}")
    for options, expected in (
        ((), "here"),
        (("-n", elsewhere), "there"),
        (("--store", f"kubernetes:{elsewhere}", "-n", elsewhere), "there"),
        (("--store", f"kubernetes:{namespace}"), "here"),
    ):
        done = cluster_user("list", "-o", "json", *options)
        assert [expected] == [task["task_id"] for task in done.json()["tasks"]]
    usual = {"MENDLOOP_STORE": f"kubernetes:{elsewhere}"}
    for options, expected in (((), "there"), (("-n", namespace), "here")):
        done = cluster_user("list", "-o", "json", *options, **usual)
        assert [expected] == [task["task_id"] for task in done.json()["tasks"]]
    done = cluster_user("list", "--store", f"kubernetes:{elsewhere}", "-n", namespace)
    assert (2, True) == (done.code, "two namespaces" in done.err)


def test_a_namespace_that_is_not_there_is_named(cluster_user: User) -> None:
    """By what only reads as well, though a server lists none of it without a complaint."""
    for command in (["list"], ["watch"], ["cleanup"], ["doctor"], ["increment", "job"]):
        done = cluster_user(*command, "-n", "no-such")
        assert (15, "") == (done.code, done.out), command
        assert "there is no namespace no-such: name another one, or make it with" in done.err


def test_who_may_not_read_namespaces_is_told_where_nothing_is(
    cluster_user: User, control_plane: Cluster, namespace: str
) -> None:
    """An account with the Role that we ship lists an empty namespace, and is told where it looked."""
    config = control_plane.kubeconfig(
        cluster_user.folder / "shipped",
        token=grant(control_plane, namespace),
        namespace=namespace,
    )
    done = cluster_user("list", "--kubeconfig", str(config))
    assert (0, "") == (done.code, done.err)
    assert f"no tasks in namespace {namespace} of https://127.0.0.1:" in done.out


def test_a_proposed_command_means_the_same_cluster(cluster_user: User, namespace: str) -> None:
    """What is proposed carries the options that were given."""
    config = cluster_user.environment.pop("KUBECONFIG")
    options = ("--store", "kubernetes", "--kubeconfig", config, "-n", namespace)
    cluster_user("increment", "job", *options)
    out = cluster_user("show", "job", *options, "--context", "test").out
    given = f"--store kubernetes --kubeconfig {config} --context test --namespace {namespace}"
    assert given in out


def test_kubectl_has_it_as_a_plugin(
    cluster_user: User, control_plane: Cluster, namespace: str
) -> None:
    """`kubectl mendloop` works on the cluster, whatever store is usual here."""
    cluster_user("increment", "job")
    folder = cluster_user.folder / "bin"
    folder.mkdir()
    plugin = Path(sys.executable).with_name("kubectl-mendloop")
    shutil.copy(plugin, folder)
    kubectl = program(control_plane.binaries, "kubectl")
    environment = cluster_user.environment | {"PATH": f"{folder}:{os.environ['PATH']}"}
    environment["MENDLOOP_STORE"] = "sqlite:nowhere.db"

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [kubectl, "mendloop", *arguments],
            env=environment,
            cwd=cluster_user.tree,
            capture_output=True,
            text=True,
            check=False,
        )

    listed = json.loads(ask("list", "-n", namespace, "-o", "json").stdout)
    assert ["job"] == [task["task_id"] for task in listed["tasks"]]
    assert "Usage: kubectl mendloop list" in ask("list", "--help").stdout


def test_cluster_options_want_the_cluster(user: User) -> None:
    """Options of a cluster on a file are refused rather than ignored, with what to add."""
    for options in (("-n", "x"), ("--context", "x"), ("--kubeconfig", "x")):
        done = user("list", *options)
        assert (2, True) == (done.code, "add --store kubernetes" in done.err)


def test_what_is_wrong_with_the_way_to_a_cluster_is_said(
    cluster_user: User, control_plane: Cluster, namespace: str
) -> None:
    """A context that is not there, no kubeconfig, no rights and no server each have words and a code."""
    done = cluster_user("list", "--context", "nope")
    assert (15, True) == (done.code, "there is no context 'nope'" in done.err)
    done = cluster_user("list", "--kubeconfig", "nope")
    assert (15, True) == (done.code, "there is no kubeconfig nope" in done.err)
    token = control_plane.service_account_token(namespace, "nobody")
    other = control_plane.kubeconfig(
        cluster_user.folder / "other", token=token, namespace=namespace
    )
    done = cluster_user("increment", "job", "--kubeconfig", str(other))
    assert (15, True) == (done.code, "not permitted to get configmaps" in done.err)
    content = json.loads(other.read_text())
    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    other.write_text(json.dumps(content))
    done = cluster_user("list", "--kubeconfig", str(other))
    assert (13, True) == (done.code, "cannot connect" in done.err)
    for line in (done.err, done.out):
        assert "Traceback" not in line


def test_what_is_not_installed_is_named(cluster_user: User) -> None:
    """Without the packages for a cluster, it is said how to get them."""
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, "list"],
        env=cluster_user.environment,
        cwd=cluster_user.tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == done.returncode
    assert "needs aiohttp: pip install 'mendloop[kubernetes]'" in done.stderr


class Watching:
    """A started `mendloop watch`."""

    def __init__(self, user: User, *options: str) -> None:
        self._process = user.start("watch", *options)

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode()

    def end(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(30)


@pytest.mark.parametrize(
    "store", ["sqlite:state.db", pytest.param("kubernetes", marks=pytest.mark.kubernetes)]
)
def test_watch_tells_what_changes(request: pytest.FixtureRequest, user: User, store: str) -> None:
    """First what is there, then each change as a line; Ctrl-C ends it."""
    if store == "kubernetes":
        request.getfixturevalue("cluster_user")
    user.environment["MENDLOOP_STORE"] = store
    user("increment", "a")
    plain, lines = Watching(user), Watching(user, "-o", "json")
    assert "a  InProgress (Reviewing)  1/10  open: none" in plain.line()
    told = json.loads(lines.line())
    assert ("a", 1, "InProgress") == (told["task_id"], told["iteration"], told["status"])
    user("increment", "b")
    assert "b  InProgress" in plain.line()
    assert "b" == json.loads(lines.line())["task_id"]
    user("increment", "a")
    assert "a  InProgress (Reviewing)  2/10" in plain.line()
    assert 2 == json.loads(lines.line())["iteration"]
    assert (130, 130) == (plain.end(), lines.end())


@pytest.mark.damages
def test_watch_tells_what_is_gone(
    cluster_user: User, control_plane: Cluster, namespace: str
) -> None:
    """A task whose ConfigMap was deleted is told as gone, and one that cannot be read as such."""
    for task_id in ("a", "b"):
        cluster_user("increment", task_id)
    plain, lines = Watching(cluster_user), Watching(cluster_user, "-o", "json")
    for _ in range(2):
        plain.line()
        lines.line()
    control_plane.kubectl("-n", namespace, "delete", "configmap", "task-a-state")
    assert "a  is gone" in plain.line()
    gone = json.loads(lines.line())
    assert ("a", True) == (gone["task_id"], gone["gone"])
    patch = '{"data": {"state.json": "{"}}'
    control_plane.kubectl("-n", namespace, "patch", "configmap", "task-b-state", "-p", patch)
    assert "b  unreadable" in plain.line()
    assert "problem" in json.loads(lines.line())
    assert (130, 130) == (plain.end(), lines.end())


def test_watch_has_no_yaml(user: User) -> None:
    """A stream is told in lines."""
    done = user("watch", "-o", "yaml")
    assert (2, True) == (done.code, "not yaml" in done.err)


def test_shipped_role_is_enough(
    cluster_user: User,
    control_plane: Cluster,
    todo: User,
    loop_arguments: tuple[str, ...],
) -> None:
    """With the account that deploy/ makes, and no other right, a whole loop and all views work."""
    control_plane.kubectl("apply", "-k", str(ROOT / "deploy"))
    token = control_plane.service_account_token("mendloop", "mendloop")
    path = control_plane.kubeconfig(
        cluster_user.folder / "shipped", token=token, namespace="mendloop"
    )
    cluster_user.environment["KUBECONFIG"] = str(path)
    task_id = f"job-{os.getpid()}"
    assert 0 == cluster_user("run", task_id, *loop_arguments).code
    for command in (("list",), ("show", task_id), ("history", task_id), ("explain", task_id)):
        assert 0 == cluster_user(*command).code
    watching = Watching(cluster_user)
    assert task_id in watching.line()
    assert 130 == watching.end()
