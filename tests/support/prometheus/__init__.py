"""A real Prometheus for tests, from Debian's package."""

from prometheus.programs import PrometheusMissing, prometheus_programs
from prometheus.rules import RULES, quickened, read_rules
from prometheus.server import Prometheus

__all__ = [
    "RULES",
    "Prometheus",
    "PrometheusMissing",
    "prometheus_programs",
    "quickened",
    "read_rules",
]
