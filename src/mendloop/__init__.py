"""mendloop keeps the state of agent remediation loops: exactly once, losing nothing."""

__version__ = "0.1.0"
