from __future__ import annotations

from mendloop.core.names import HEAD
from mendloop.stores.port import Document
from mendloop.weighing import SIZES, Weight


def _document(size_bytes: int, key: str = "a", **parts: object) -> Document:
    members = {"fields": {}, "labels": {}} | parts
    return Document(kind=HEAD, key=key, revision="1", body=b"x" * size_bytes, **members)  # type: ignore[arg-type]


def test_all_that_a_document_holds_is_weighed() -> None:
    """The body counts, and so do texts, in UTF-8, and binary values beside it."""
    weight = Weight()
    weight.add(_document(1000, fields={"note": "äöü"}, blobs={"more": b"12345"}))

    assert 1000 + 6 + 5 == weight.total_bytes == weight.largest_bytes


def test_documents_are_counted_by_size() -> None:
    """Each counts for every size that it does not pass, and the largest is named."""
    weight = Weight()
    for size_bytes, key in ((0, "a"), (1024, "b"), (1025, "c"), (2**21, "d"), (70_000, "e")):
        weight.add(_document(size_bytes, key))

    assert (5, 2**21, "d") == (weight.count, weight.largest_bytes, weight.largest_key)
    assert [2, 3, 3, 3, 4, 4, 4, 4, 4] == [weight.at_most[most] for most in SIZES]
