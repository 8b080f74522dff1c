"""The public interface is what `mendloop.__all__` says, and every name of it can be had."""

from __future__ import annotations

import subprocess
import sys

import mendloop


def test_names_are_sorted_and_there() -> None:
    """Every exported name can be imported, and they stand in order."""
    assert sorted(mendloop.__all__) == mendloop.__all__
    for name in mendloop.__all__:
        assert getattr(mendloop, name).__module__.startswith("mendloop.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that is not exported is not found, as in any module."""
    assert not hasattr(mendloop, "no_such_name")


def test_importing_the_package_imports_nothing_else() -> None:
    """The package is quick to import: the parts come when they are asked for."""
    script = "import sys, mendloop; print([m for m in sys.modules if m.startswith('mendloop.')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )

    assert done.stdout.strip() == "[]"
