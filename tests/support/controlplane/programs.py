"""The servers' programs: those in KUBEBUILDER_ASSETS, or built once from their released source."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import platformdirs

from controlplane.locks import FileLock
from controlplane.toolchain import ProgramUnavailable, find_go

__all__ = [
    "ASSETS",
    "RELEASES",
    "BuildFailed",
    "ProgramMissing",
    "ProgramUnavailable",
    "Say",
    "checker",
    "helm_program",
    "monitoring_definitions",
    "program",
    "programs",
    "say",
]

ASSETS = "KUBEBUILDER_ASSETS"
MODULES = Path(__file__).parents[2] / "controlplane"
RELEASES = sorted(folder.name for folder in MODULES.glob("v*"))

_SERVERS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
_INDISPENSABLE = ("etcd", "kube-apiserver")
_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
_MONITORING_KINDS = ("prometheusrules", "servicemonitors")

Say: TypeAlias = Callable[[str], None]
"""Tells the person at the terminal what takes so long."""


class ProgramMissing(ProgramUnavailable):
    """The folder that KUBEBUILDER_ASSETS names lacks a program."""


class BuildFailed(ProgramUnavailable):
    """Go could not build a program; the message ends with what it said."""


def say(line: str) -> None:
    """Write to the standard error that this process was started with."""
    print(line, file=sys.__stderr__, flush=True)


def programs(release: str, tell: Say = say) -> Path:
    """
    Return the folder of a release's etcd, kube-apiserver, kube-controller-manager and kubectl.

    KUBEBUILDER_ASSETS, where it is set, wins over every *release*. Otherwise the folder is in the
    user's cache; what is not there yet is built, by one process however many ask.

    Args:
        release: The name of a folder with a go.mod, such as `v1.37`.

    Raises:
        ProgramMissing: KUBEBUILDER_ASSETS names a folder without etcd or kube-apiserver.
        BuildFailed: Go said no.
        ToolchainMissing: There is no Go and it cannot be fetched.
    """
    assets = os.environ.get(ASSETS)
    if not assets:
        return _built(MODULES / release, _SERVERS, tell)
    folder = Path(assets).absolute()
    for name in _INDISPENSABLE:
        program(folder, name)
    return folder


def program(folder: Path, name: str) -> Path:
    """
    Return the path of one program.

    Raises:
        ProgramMissing: It is not in the folder.
    """
    path = folder / name
    if not os.access(path, os.X_OK):
        raise ProgramMissing(
            f"{folder} has no program {name}: put it there, or unset {ASSETS} to have it built"
        )
    return path


def checker(tell: Say = say) -> Path:
    """
    Return the program that tells whether a history is linearizable; what it reads is in its source.

    Raises:
        BuildFailed: Go said no.
        ToolchainMissing: There is no Go and it cannot be fetched.
    """
    return _built(MODULES / "linearize", {"linearize": "."}, tell) / "linearize"


def helm_program(tell: Say = say) -> Path:
    """
    Return the program `helm`.

    Raises:
        BuildFailed: Go said no.
        ToolchainMissing: There is no Go and it cannot be fetched.
    """
    return _built(MODULES / "helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, tell) / "helm"


def monitoring_definitions() -> list[Path]:
    """
    Return the CustomResourceDefinitions of the Prometheus operator, each in a file.

    Raises:
        BuildFailed: Go cannot fetch its module.
        ToolchainMissing: There is no Go and it cannot be fetched.
    """
    go = find_go(_cache())
    done = _run_go([go, "mod", "download", "-json", _OPERATOR], MODULES / "monitoring")
    folder = Path(json.loads(done)["Dir"]) / "example" / "prometheus-operator-crd"
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in _MONITORING_KINDS]


def _built(module: Path, packages: dict[str, str], tell: Say) -> Path:
    """Return the folder with a module's programs, named after all that they are made from."""
    sources = sorted([*module.glob("go.*"), *module.glob("*.go")])
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources))
    cache = _cache()
    folder = cache / f"{module.name}-{digest.hexdigest()[:12]}"
    with FileLock(cache / f"{folder.name}.lock") as lock:
        if not folder.exists() and not lock.try_to_take():
            tell(f"waiting for another process that builds {folder}")
            lock.take()
        if not folder.exists():
            _build(module, packages, folder, tell)
    return folder


def _cache() -> Path:
    cache = platformdirs.user_cache_path("mendloop", ensure_exists=True) / "controlplane"
    cache.mkdir(exist_ok=True)
    return cache


def _build(module: Path, packages: dict[str, str], folder: Path, tell: Say) -> None:
    """Build into a folder beside the wanted one, which is renamed when all is there."""
    go = find_go(folder.parent)
    tell(f"building {', '.join(packages)} ({module.name}), once, into {folder}")
    if packages == _SERVERS:
        tell("that takes about 12 minutes on two cores")
    with tempfile.TemporaryDirectory(prefix="draft-", dir=folder.parent) as drafts:
        draft = Path(drafts) / folder.name
        for name, package in packages.items():
            began = time.monotonic()
            _build_one(go, module, package, draft / name)
            tell(f"built {name} in {time.monotonic() - began:.0f} s")
        draft.rename(folder)


def _build_one(go: Path, module: Path, package: str, program: Path) -> None:
    flags = f"-ldflags={_linker_flags(module)}"
    _run_go([go, "build", "-o", program, flags, package], module)


def _run_go(command: list[str | Path], module: Path) -> str:
    """Return what Go printed."""
    done = subprocess.run(
        command,
        cwd=module,
        env=os.environ
        | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        told = f"{done.stdout}{done.stderr}"[-2000:]
        raise BuildFailed(f"{' '.join(map(str, command))} in {module}:\n{told}")
    return done.stdout


def _linker_flags(module: Path) -> str:
    """Strip symbols, and give the servers the version that their release would have."""
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", (module / "go.mod").read_text())
    if found is None:
        return "-s -w"
    named = {"gitVersion": found[1], "gitMajor": found[2], "gitMinor": found[3]}
    variables = (f"-X k8s.io/component-base/version.{name}={v}" for name, v in named.items())
    return " ".join(["-s -w", *variables])
