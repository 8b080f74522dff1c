"""What the rules of a SARIF run say about its results: level, severity, kind of fault, words."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import msgspec

from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake.json_bytes import JsonArray, UnreadableJson, decode, sized
from mendloop.intake.reading import shortened
from mendloop.intake.sarif_schema import Bag, Component, Message, Result, Rule, RuleId, Text, Tool

__all__ = ["KnownRule", "Rules", "issue_type_from", "score_from", "severity_from"]

_LEVELS = {
    "error": Severity.HIGH,
    "warning": Severity.MEDIUM,
    "note": Severity.LOW,
    "none": Severity.LOW,
}
# The scale on which GitHub ranks alerts: security-severity is a CVSS score.
_SCORES = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM))
_TAGS = {
    "security": IssueType.SECURITY,
    "performance": IssueType.PERFORMANCE,
    "documentation": IssueType.DOCUMENTATION,
}
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\d{1,4})\}")


class KnownRule(NamedTuple):
    """What a run says about one rule; all empty where it says nothing."""

    id: str = ""
    level: str = ""
    score: float | None = None
    issue_type: IssueType | None = None
    title: str = ""
    strings: msgspec.Raw = msgspec.Raw()


class Rules:
    """The rules of a run's driver and extensions, each decoded when it is first asked for."""

    def __init__(self, tool: Tool) -> None:
        """Find the rules of every component of *tool*."""
        self._components = [tool.driver, *_extensions(tool)]
        self._rules = [JsonArray(component.rules) for component in self._components]
        self._known: dict[tuple[int, int], KnownRule] = {}
        self._by_id: dict[str, tuple[int, int]] | None = None

    def rule_of(self, result: Result) -> KnownRule:
        """Find the rule that *result* names by index or id (SARIF 2.1.0, 3.52)."""
        reference = result.rule
        component = 0
        index = result.rule_index
        if reference is not None:
            index = reference.index if reference.index >= 0 else index
            part = reference.tool_component
            component = part.index + 1 if part is not None and part.index >= 0 else 0
        named = result.rule_id or (reference.id if reference is not None else None) or ""
        if component < len(self._rules) and 0 <= index < len(self._rules[component]):
            rule = self._rule(component, index)
        else:
            rule = self._find(named)
        return rule._replace(id=named or rule.id)

    def words(self, message: Message | None, rule: KnownRule) -> str:
        """Put a message into words; "" where the report has none that can be read."""
        if message is None:
            return ""
        text = message.text or message.markdown or ""
        is_pattern = bool(message.arguments)
        if not text and message.id:
            text = _string(rule.strings, message.id)
            text = text or _string(self._components[0].global_message_strings, message.id)
            is_pattern = True
        return _filled(text, message.arguments or []) if is_pattern else text

    def _find(self, named: str) -> KnownRule:
        """A rule by id; a hierarchical id falls back to its parents (SARIF 2.1.0, 3.5.4)."""
        if self._by_id is None:
            self._by_id = self._index()
        while named:
            place = self._by_id.get(named)
            if place is not None:
                return self._rule(*place)
            named = named.rpartition("/")[0]
        return KnownRule()

    def _index(self) -> dict[str, tuple[int, int]]:
        places: dict[str, tuple[int, int]] = {}
        for component, rules in enumerate(self._rules):
            for index in range(len(rules)):
                places.setdefault(_id(rules, index), (component, index))
        return places

    def _rule(self, component: int, index: int) -> KnownRule:
        place = (component, index)
        if place not in self._known:
            self._known[place] = _known(self._rules[component], index)
        return self._known[place]


def severity_from(result: Result, rule: KnownRule, score: float | None) -> tuple[Severity, str]:
    """
    Judge a result: by its security score, else by its level, else by its rule's.

    Returns:
        The severity, and a note on what could not be read, or "".
    """
    if score is not None:
        found = next((severity for least, severity in _SCORES if score >= least), Severity.LOW)
        return found, ""
    level = result.level or rule.level or "warning"
    severity = _LEVELS.get(level)
    if severity is None:
        return Severity.MEDIUM, f'level "{shortened(level, 40)}" is not known, Medium assumed'
    return severity, ""


def issue_type_from(bag: Bag | None) -> IssueType | None:
    """The kind of fault that the tags name, or None where they name none."""
    tags = bag.tags if bag is not None else None
    if not isinstance(tags, list):
        return None
    words = {tag.lower() for tag in tags if isinstance(tag, str)}
    return next((kind for tag, kind in _TAGS.items() if tag in words), None)


def score_from(bag: Bag | None) -> float | None:
    """The security score, or None where there is none that is a figure."""
    given = bag.security_severity if bag is not None else None
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return None
    try:
        score = float(given)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(score) else score


def _extensions(tool: Tool) -> list[Component]:
    found = JsonArray(tool.extensions, limit=1_000)
    components: list[Component] = []
    for index in range(len(found)):
        # An unreadable one keeps its place: results name extensions by index.
        try:
            components.append(decode(found.whole(index), Component))
        except UnreadableJson:
            components.append(Component(name=""))
    return components


def _id(rules: JsonArray, index: int) -> str:
    try:
        return decode(rules[index], RuleId).id
    except UnreadableJson:
        return ""


def _known(rules: JsonArray, index: int) -> KnownRule:
    try:
        rule = decode(rules[index], Rule)
    except UnreadableJson:
        return KnownRule()
    configuration = rule.default_configuration
    return KnownRule(
        id=rule.id,
        level=(configuration.level if configuration is not None else None) or "",
        score=score_from(rule.properties),
        issue_type=issue_type_from(rule.properties),
        title=rule.short_description.text if rule.short_description is not None else "",
        strings=rule.message_strings,
    )


def _string(strings: msgspec.Raw, wanted: str) -> str:
    try:
        found = decode(sized(memoryview(strings)), dict[str, Text]).get(wanted)
    except UnreadableJson:
        return ""
    return found.text if found is not None else ""


def _filled(text: str, arguments: list[str]) -> str:
    """Put the arguments in (SARIF 2.1.0, 3.11.5); a placeholder without one stays."""

    def fill(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        place = int(match[1])
        return arguments[place] if place < len(arguments) else match[0]

    return _PLACEHOLDER.sub(fill, text)
