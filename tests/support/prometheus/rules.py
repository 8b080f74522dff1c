"""The rules that we ship, and the same with a minute for each second."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

__all__ = ["RULES", "quickened", "read_rules", "rules_in", "seconds_of"]

RULES = Path(__file__).parents[3] / "deploy" / "chart" / "mendloop" / "files" / "rules.yaml"

_MINUTES = re.compile(r"\b(\d+)m\b")
_MINUTES_IN_SECONDS = re.compile(r"\b(\d+) \* 60\b")


def read_rules() -> dict[str, dict[str, Any]]:
    """Read the alerts that we ship, by name."""
    return rules_in(RULES.read_text(encoding="utf-8"))


def rules_in(text: str) -> dict[str, dict[str, Any]]:
    """Read the alerts of a rules file, by name."""
    groups = yaml.safe_load(text)["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def quickened() -> str:
    """Return the rules with all their times divided by 60, and nothing else changed."""
    content = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in content["groups"]:
        for rule in group["rules"]:
            for key in ("expr", "for"):
                if key in rule:
                    seconds = _MINUTES.sub(r"\1s", rule[key])
                    rule[key] = _MINUTES_IN_SECONDS.sub(r"\1", seconds)
    return yaml.safe_dump(content)


def seconds_of(rule: dict[str, Any]) -> int:
    """How long the condition of a rule has to hold, in seconds."""
    found = _MINUTES.fullmatch(rule.get("for", "0m"))
    assert found is not None, rule
    return 60 * int(found[1])
