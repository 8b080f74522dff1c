"""
Every kind of secret that is recognised, in the order of search.

A block goes first, since it holds what looks like other secrets; then what has a shape of its own,
so that its mark says the most; last what is known by its place.
"""

from __future__ import annotations

from mendloop.core.secret_places import BLOCK_RULES, PLACE_RULES
from mendloop.core.secret_tokens import TOKEN_RULES

__all__ = ["SECRET_RULES"]

SECRET_RULES = (*BLOCK_RULES, *TOKEN_RULES, *PLACE_RULES)
"""The last one's kind is the one that says nothing more than that it is a secret."""
