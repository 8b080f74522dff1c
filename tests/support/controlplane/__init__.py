"""A real control plane for tests: kube-apiserver, etcd and kube-controller-manager, from source."""

from controlplane.cluster import APIError, Cluster
from controlplane.plane import ControlPlane
from controlplane.programs import NEWEST, OLDEST, ProgramMissing, program, programs
from controlplane.server import Server, ServerFailed

__all__ = [
    "NEWEST",
    "OLDEST",
    "APIError",
    "Cluster",
    "ControlPlane",
    "ProgramMissing",
    "Server",
    "ServerFailed",
    "program",
    "programs",
]
