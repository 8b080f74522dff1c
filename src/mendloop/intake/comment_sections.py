"""The parts of a review comment: which lines belong to which, and what each of them holds."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

from mendloop.intake.comment_fields import is_field_name
from mendloop.intake.comment_tables import outcomes_in
from mendloop.intake.markdown import INLINE_LIMIT, Markdown, plain

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
_MAYBE_NAME = re.compile(
    r"description|criteria|reproduc|expected|actual|issue|severity", re.IGNORECASE
)
_SECTION_NAMES = {name: re.compile(pattern) for name, pattern in _NAMES.items()}
_TITLE_LIMIT = 80
_REMARK = re.compile(r"\([^()]*\)\s*\Z")
_NO_WORDS = re.compile(r"[\W_]+")
_LABEL = re.compile(
    r"(?P<opened>\*{1,2}|__)?(?P<name>[^\n*:\uff1a]{1,80}?)(?P<closed>\*{1,2}|__)?\s{0,8}"
    r"[:\uff1a]\s{0,8}(?P<late>\*{1,2}|__)?\s{0,8}(?P<rest>.*)"
)
_BOLD = re.compile(r"(?:\*\*|__)[^*]{1,80}(?:\*\*|__)[:\uff1a]?")
_BOX = re.compile(
    r"\s*(?:(?:[-*+•]|\d{1,9}[.)])\s+)?"
    r"(?:\[(?P<mark>[ xX\u2713\u2714\u2705]?)\]|(?P<sign>[\u2610\u2611\u2612\u2705\u274c\u2714])\ufe0f?)"
    r"\s*(?P<text>.*)"
)
_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,9}[.)])\s+(?P<text>.*)")
_NO_ITEM = 2**31
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
        remark: What the title says in brackets at its end, such as "(on Linux)".
    """

    name: str
    title: str | None
    first: str
    numbers: list[int]
    remark: str = ""


class Criterion(NamedTuple):
    """One criterion, in the reviewer's words, and whether it is met."""

    text: str
    is_met: bool


class _Found(NamedTuple):
    """A criterion while its lines are gathered; what is indented more than *indent* belongs to it."""

    lines: list[str]
    is_met: bool
    indent: int = _NO_ITEM
    is_boxed: bool = False


def sections_of(markdown: Markdown, start: int, without: Container[int]) -> list[Section]:
    """Cut the lines from *start* on into sections; the lines *without* are in none of them."""
    sections = [Section("loose", None, "", [])]
    level = 0
    for number in range(start, len(markdown.lines)):
        if number in without:
            continue
        said = markdown.said.get(number)
        found = _section_at(markdown, number, level) if said is not None else None
        if found is not None:
            sections.append(found)
            level = said.heading if said is not None else 0
        elif not _is_underline(markdown, number):
            sections[-1].numbers.append(number)
    return sections


def text_of(markdown: Markdown, section: Section) -> str:
    """What a section holds, as it was written, without its title."""
    begun = filter(None, (section.remark, section.first))
    lines = [*begun, *(markdown.lines[number] for number in section.numbers)]
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def criteria_of(markdown: Markdown, section: Section) -> list[Criterion]:
    """
    Read each item and each paragraph of a section as a criterion; without a box it is not met.

    An item without a box that stands below another one is part of it.
    """
    found = [_Found([section.first], is_met=False)] if section.first else []
    is_apart = True
    for number in section.numbers:
        line = markdown.lines[number].rstrip()
        item = _item(line) if number in markdown.said else None
        if item is not None and (item.is_boxed or not found or item.indent <= found[-1].indent):
            found.append(item)
        elif item is None and line and (not found or (is_apart and _is_own(markdown, number))):
            found.append(_Found([line], is_met=False))
        elif found:
            found[-1].lines.append(line)
        is_apart = not line
    criteria = [Criterion("\n".join(one.lines).strip(), one.is_met) for one in found]
    return [criterion for criterion in criteria if criterion.text]


def _item(line: str) -> _Found | None:
    """The criterion that an item of a list, or a line with a box, begins."""
    indent = len(line) - len(line.lstrip())
    box = _BOX.match(line)
    if box is not None:
        is_met = box["mark"] not in {None, "", " "} or (box["sign"] or "") in _MET_SIGNS
        return _Found([box["text"]], is_met=is_met, indent=indent, is_boxed=True)
    bullet = _BULLET.match(line)
    return None if bullet is None else _Found([bullet["text"]], is_met=False, indent=indent)


def _is_own(markdown: Markdown, number: int) -> bool:
    """Whether a line begins a paragraph that belongs to no item."""
    return number in markdown.said and not markdown.lines[number].startswith((" ", "\t"))


def outcomes_of(markdown: Markdown, section: Section) -> dict[str, str]:
    """
    Cut "Expected vs Actual" into "expected" and "actual", and "other" for what is before them.

    A table of them is kept in "other" too, as it was written.
    """
    parts: dict[str, list[str]] = {
        "other": [section.remark, section.first],
        "expected": [],
        "actual": [],
    }
    name = "other"
    for number in section.numbers:
        said = markdown.said.get(number)
        label = _labelled(said.text) if said is not None else None
        if label is not None and label[0] in {"expected", "actual"}:
            name = label[0]
            parts[name].append(label[1])
        else:
            parts[name].append(markdown.lines[number].rstrip())
    if name == "other":
        rows = [markdown.lines[number] for number in section.numbers if number in markdown.said]
        parts |= {name: [text] for name, text in outcomes_in(rows, _outcome_name).items()}
    return {name: "\n".join(lines).strip() for name, lines in parts.items()}


def _outcome_name(cell: str) -> str | None:
    named = _name_of(plain(cell)) if _MAYBE_NAME.search(cell, 0, INLINE_LIMIT) else None
    return named[0] if named and named[0] in {"expected", "actual"} else None


def _section_at(markdown: Markdown, number: int, level: int) -> Section | None:
    """The section that begins on this line; None where it belongs to the one before."""
    said = markdown.said[number]
    if said.heading:
        title = plain(said.text) if _MAYBE_NAME.search(said.text) else ""
        named = _name_of(title)
        if named is not None:
            return Section(named[0], said.text, "", [], named[1])
        is_within = level and said.heading > level
        return None if is_within or is_field_name(title) else Section("other", said.text, "", [])
    label = _labelled(said.text)
    if label is None:
        return None
    # At the margin below a list Markdown takes a line for the last item's, and a person does not.
    is_at_margin = said.is_top or markdown.lines[number].startswith(said.text)
    if label[0] in {"expected", "actual"} and not is_at_margin:
        return None
    name, rest, remark = label
    return Section(name, said.text, rest, [], remark)


def _is_underline(markdown: Markdown, number: int) -> bool:
    """Whether a line only makes a heading of the one above."""
    above = markdown.said.get(number - 1)
    if number in markdown.said or above is None or not above.heading:
        return False
    return not markdown.lines[number - 1].lstrip().startswith("#")


def _labelled(text: str) -> tuple[str, str, str] | None:
    """The section that a line names, as ``**Steps**: text`` does, the rest of the line, the remark."""
    if not _MAYBE_NAME.search(text, 0, INLINE_LIMIT):
        return None
    if _BOLD.fullmatch(text):
        named = _name_of(plain(text))
        return (named[0], "", named[1]) if named else None
    match = _LABEL.match(text)
    named = _name_of(match["name"]) if match is not None else None
    if match is None or named is None:
        return None
    name, remark = named
    is_title = match["opened"] is not None or not match["rest"] or name in {"expected", "actual"}
    if not is_title:
        return None
    is_closed_late = match["opened"] and not match["closed"]
    rest = match["rest"] if is_closed_late else (match["late"] or "") + match["rest"]
    return name, rest, remark


def _name_of(title: str) -> tuple[str, str] | None:
    """The section that a title names, and the remark in brackets that it ends with."""
    if len(title) > _TITLE_LIMIT:
        return None
    remark = _REMARK.search(title)
    for text, rest in (
        (title, ""),
        (title[: remark.start()], remark[0]) if remark else (title, ""),
    ):
        folded = _NO_WORDS.sub(" ", text.casefold()).strip()
        for name, pattern in _SECTION_NAMES.items():
            if pattern.fullmatch(folded):
                return name, rest.strip()
    return None
