"""The page about kubeconfigs says what becomes of each field."""

from __future__ import annotations

from pathlib import Path

from mendloop.kube.kubeconfig import Cluster, Context, Exec, User

PAGE = Path(__file__).parents[2] / "docs" / "kubeconfig.md"


def test_every_field_is_described() -> None:
    """Every field that counts stands in the page by its name in a kubeconfig."""
    page = PAGE.read_text()
    names = {
        name for part in (Cluster, User, Context, Exec) for name in part.__struct_encode_fields__
    }

    described = {name.removesuffix("-data") for name in names}
    assert [] == sorted(name for name in described if f"`{name}`" not in page)
