"""
The part of SARIF 2.1.0 that is read, after the OASIS standard of that name.

What is not named here is skipped. What can be long is left as bytes, see `json_bytes`.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "Artifact",
    "ArtifactLocation",
    "Bag",
    "Component",
    "Invocation",
    "Log",
    "Message",
    "Result",
    "Rule",
    "RuleId",
    "Run",
    "Text",
]


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Members have the standard's names, in Python's spelling."""


class Bag(_Part, frozen=True):
    """A property bag; anybody may put anything in it."""

    security_severity: Any = msgspec.field(name="security-severity", default=None)
    tags: Any = None


class Text(_Part, frozen=True):
    """A multiformatMessageString."""

    text: str = ""


class Message(_Part, frozen=True):
    """What is wrong, in words or as the id of words."""

    text: str | None = None
    markdown: str | None = None
    id: str | None = None
    arguments: list[str] | None = None


class ArtifactLocation(_Part, frozen=True):
    """A file, by uri or by its index in the run's artifacts."""

    uri: str | None = None
    uri_base_id: str | None = None
    index: int = -1


class Snippet(_Part, frozen=True):
    """The text of a region."""

    text: str | None = None


class Region(_Part, frozen=True):
    """A place in a file."""

    start_line: int = 0
    snippet: Snippet | None = None


class PhysicalLocation(_Part, frozen=True):
    """A place in a named file."""

    artifact_location: ArtifactLocation | None = None
    region: Region | None = None


class Location(_Part, frozen=True):
    """A place; logical ones are not read."""

    physical_location: PhysicalLocation | None = None


class Suppression(_Part, frozen=True):
    """Somebody's decision that a result is none."""

    status: str | None = None


class ComponentReference(_Part, frozen=True):
    """The extension that a rule is of."""

    index: int = -1


class RuleReference(_Part, frozen=True):
    """A rule, by id, or by its index in the rules of a component."""

    id: str | None = None
    index: int = -1
    tool_component: ComponentReference | None = None


class Result(_Part, frozen=True):
    """One thing that a tool found."""

    rule_id: str | None = None
    rule_index: int = -1
    rule: RuleReference | None = None
    kind: str | None = None
    level: str | None = None
    message: Message | None = None
    locations: list[Location] | None = None
    fingerprints: dict[str, str] | None = None
    partial_fingerprints: dict[str, str] | None = None
    suppressions: list[Suppression] | None = None
    baseline_state: str | None = None
    properties: Bag | None = None


class Configuration(_Part, frozen=True):
    """How a rule is set when nobody says otherwise."""

    level: str | None = None


class Rule(_Part, frozen=True):
    """A reportingDescriptor."""

    id: str = ""
    default_configuration: Configuration | None = None
    message_strings: msgspec.Raw = msgspec.Raw()
    short_description: Text | None = None
    properties: Bag | None = None


class RuleId(_Part, frozen=True):
    """Of a reportingDescriptor only what it is looked up by."""

    id: str = ""


class Component(_Part, frozen=True):
    """A tool's driver or extension."""

    name: str
    rules: msgspec.Raw = msgspec.Raw()
    global_message_strings: msgspec.Raw = msgspec.Raw()


class Tool(_Part, frozen=True):
    """What ran."""

    driver: Component
    extensions: msgspec.Raw = msgspec.Raw()


class Artifact(_Part, frozen=True):
    """A file of the run."""

    location: ArtifactLocation | None = None


class Invocation(_Part, frozen=True):
    """How one process of the tool ended."""

    execution_successful: bool = True


class VersionControl(_Part, frozen=True):
    """A repository that was looked at (3.23)."""

    revision_id: str = ""


class Run(_Part, frozen=True):
    """One run of one tool."""

    tool: Tool
    results: msgspec.Raw = msgspec.Raw()
    artifacts: msgspec.Raw = msgspec.Raw()
    original_uri_base_ids: msgspec.Raw = msgspec.Raw()
    invocations: msgspec.Raw = msgspec.Raw()
    version_control_provenance: msgspec.Raw = msgspec.Raw()


class Log(_Part, frozen=True):
    """A whole report."""

    version: str = ""
    runs: msgspec.Raw = msgspec.Raw()
