"""The way to a Kubernetes API server: the only place that talks to one."""
