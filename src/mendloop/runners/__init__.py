"""How reviewers and fixers are run: the port, and the local subprocess runner."""
