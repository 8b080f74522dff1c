"""ConfigMaps as kubectl prints them: a list or one alone, as JSON or YAML, one document or several."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from mendloop.core.errors import ValidationError

__all__ = ["ConfigMap", "configmaps"]

ConfigMap = tuple[str, dict[str, str]]
"""Its name, and the texts in its data."""


def configmaps(raw: bytes, *, prefix: str) -> Iterator[ConfigMap]:
    """
    Yield the ConfigMaps in *raw* whose names begin with *prefix*.

    Raises:
        ValidationError: It is neither JSON nor YAML, or no output of kubectl.
    """
    for item in _items(_documents(raw)):
        metadata, data = item.get("metadata"), item.get("data")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if item.get("kind") == "ConfigMap" and isinstance(name, str) and name.startswith(prefix):
            texts = data if isinstance(data, dict) else {}
            yield name, {str(key): value for key, value in texts.items() if isinstance(value, str)}


def _documents(raw: bytes) -> Iterable[Any]:
    try:
        return [json.loads(raw)]
    except (ValueError, RecursionError):
        pass  # then it is YAML, or JSON objects one after another, or nothing
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return list(yaml.load_all(raw, Loader=loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValidationError(f"what is given is neither JSON nor YAML: {error}") from error


def _items(documents: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            raise ValidationError(
                "what is given is no output of `kubectl get configmap -o json` or `-o yaml`"
            )
        if document["kind"].endswith("List"):
            items = document.get("items")
            yield from (item for item in items or () if isinstance(item, dict))
        else:
            yield document
