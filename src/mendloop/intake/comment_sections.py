"""The parts of a review comment: which lines belong to which, and what each of them holds."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

from mendloop.intake.comment_fields import is_field_name
from mendloop.intake.markdown import Markdown, Said, plain

__all__ = ["Criterion", "Section", "criteria_of", "outcomes_of", "sections_of", "text_of"]

_BEHAVIOUR = r"(?: (?:behaviou?r|results?|outcome))?"
_NAMES = {
    "description": r"(?:issue |detailed )?description",
    "criteria": r"(?:unmet )?(?:acceptance )?criteria(?: (?:that are )?(?:not met|unmet))?",
    "steps": r"(?:steps to reproduce|reproduction steps|how to reproduce|reproduction)",
    "outcomes": rf"expected{_BEHAVIOUR}(?: (?:vs|versus|and))? actual{_BEHAVIOUR}",
    "expected": rf"expected{_BEHAVIOUR}",
    "actual": rf"actual{_BEHAVIOUR}",
}
_SECTION_NAMES = {name: re.compile(pattern) for name, pattern in _NAMES.items()}
_TITLE_LIMIT = 80
_REMARK = re.compile(r"\([^()]*\)\s*\Z")
_NO_WORDS = re.compile(r"[\W_]+")
_LABEL = re.compile(
    r"(?P<opened>\*\*|__)?(?P<name>[^\n*:\uff1a]{1,80}?)(?P<closed>\*\*|__)?\s{0,8}"
    r"[:\uff1a]\s{0,8}(?P<late>\*\*|__)?\s{0,8}(?P<rest>.*)"
)
_BOLD = re.compile(r"(?:\*\*|__)[^*]{1,80}(?:\*\*|__)[:\uff1a]?")
_BOX = re.compile(
    r"\s*(?:(?:[-*+•]|\d{1,9}[.)])\s+)?"
    r"(?:\[(?P<mark>[ xX\u2713\u2714\u2705]?)\]|(?P<sign>[\u2610\u2611\u2612\u2705\u274c\u2714])\ufe0f?)"
    r"\s*(?P<text>.*)"
)
_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,9}[.)])\s+(?P<text>.*)")
_MET_SIGNS = frozenset("\u2611\u2705\u2714")


class Section(NamedTuple):
    """
    A part of a comment.

    Attributes:
        name: One of "loose" (under no title), "description", "criteria", "steps", "outcomes",
            "expected", "actual" and "other".
        title: The line that it begins with, or None where nothing of that is to be kept.
        first: What stands on that line behind the title.
        numbers: The lines below it.
    """

    name: str
    title: str | None
    first: str
    numbers: list[int]


class Criterion(NamedTuple):
    """One criterion, in the reviewer's words, and whether it is met."""

    text: str
    is_met: bool


def sections_of(markdown: Markdown, start: int, without: Container[int]) -> list[Section]:
    """Cut the lines from *start* on into sections; the lines *without* are in none of them."""
    sections = [Section("loose", None, "", [])]
    level = 0
    for number in range(start, len(markdown.lines)):
        if number in without:
            continue
        said = markdown.said.get(number)
        found = _section_at(said, level) if said is not None else None
        if found is not None:
            sections.append(found)
            level = said.heading if said is not None else 0
        elif not _is_underline(markdown, number):
            sections[-1].numbers.append(number)
    return sections


def text_of(markdown: Markdown, section: Section) -> str:
    """What a section holds, as it was written, without its title."""
    lines = [section.first, *(markdown.lines[number] for number in section.numbers)]
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def criteria_of(markdown: Markdown, section: Section) -> list[Criterion]:
    """Read each item and each paragraph of a section as a criterion; without a box it is not met."""
    found: list[tuple[list[str], bool]] = [([section.first], False)] if section.first else []
    is_apart = True
    for number in section.numbers:
        line = markdown.lines[number].rstrip()
        is_said = number in markdown.said
        box = _BOX.match(line) if is_said else None
        bullet = _BULLET.match(line) if is_said else None
        if box is not None:
            is_met = box["mark"] not in {None, "", " "} or (box["sign"] or "") in _MET_SIGNS
            found.append(([box["text"]], is_met))
        elif bullet is not None:
            found.append(([bullet["text"]], False))
        elif line and (not found or (is_apart and is_said and not line.startswith((" ", "\t")))):
            found.append(([line], False))
        elif found:
            found[-1][0].append(line)
        is_apart = not line
    criteria = [Criterion("\n".join(lines).strip(), is_met) for lines, is_met in found]
    return [criterion for criterion in criteria if criterion.text]


def outcomes_of(markdown: Markdown, section: Section) -> dict[str, str]:
    """Cut "Expected vs Actual" into "expected" and "actual", and "other" for what is before them."""
    parts: dict[str, list[str]] = {"other": [section.first], "expected": [], "actual": []}
    name = "other"
    for number in section.numbers:
        said = markdown.said.get(number)
        label = _labelled(said.text) if said is not None else None
        if label is not None and label[0] in {"expected", "actual"}:
            name = label[0]
            parts[name].append(label[1])
        else:
            parts[name].append(markdown.lines[number].rstrip())
    return {name: "\n".join(lines).strip() for name, lines in parts.items()}


def _section_at(said: Said, level: int) -> Section | None:
    """The section that begins on this line; None where it belongs to the one before."""
    if said.heading:
        title = plain(said.text)
        name = _name_of(title)
        if name is not None:
            return Section(name, said.text, "", [])
        is_within = level and said.heading > level
        return None if is_within or is_field_name(title) else Section("other", said.text, "", [])
    label = _labelled(said.text)
    if label is None or (label[0] in {"expected", "actual"} and not said.is_top):
        return None
    return Section(label[0], said.text, label[1], [])


def _is_underline(markdown: Markdown, number: int) -> bool:
    """Whether a line only makes a heading of the one above."""
    above = markdown.said.get(number - 1)
    if number in markdown.said or above is None or not above.heading:
        return False
    return not markdown.lines[number - 1].lstrip().startswith("#")


def _labelled(text: str) -> tuple[str, str] | None:
    """The section that a line names, such as ``**Steps**: text``, and the rest of the line."""
    if _BOLD.fullmatch(text):
        name = _name_of(plain(text))
        return (name, "") if name else None
    match = _LABEL.match(text)
    if match is None:
        return None
    name = _name_of(match["name"])
    is_title = match["opened"] is not None or not match["rest"] or name in {"expected", "actual"}
    if name is None or not is_title:
        return None
    is_closed_late = match["opened"] and not match["closed"]
    return name, match["rest"] if is_closed_late else (match["late"] or "") + match["rest"]


def _name_of(title: str) -> str | None:
    if len(title) > _TITLE_LIMIT:
        return None
    folded = _NO_WORDS.sub(" ", _REMARK.sub("", title.casefold())).strip()
    for name, pattern in _SECTION_NAMES.items():
        if pattern.fullmatch(folded):
            return name
    return None
