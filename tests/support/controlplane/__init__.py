"""A real control plane for tests: kube-apiserver, etcd and kube-controller-manager, from source."""

from controlplane.cluster import APIError, Cluster
from controlplane.history import Judge, Operation
from controlplane.plane import ControlPlane
from controlplane.programs import RELEASES, ProgramMissing, program, programs
from controlplane.server import Server, ServerFailed
from controlplane.shared import shared_control_plane

__all__ = [
    "RELEASES",
    "APIError",
    "Cluster",
    "ControlPlane",
    "Judge",
    "Operation",
    "ProgramMissing",
    "Server",
    "ServerFailed",
    "program",
    "programs",
    "shared_control_plane",
]
