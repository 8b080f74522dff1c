"""
SARIF 2.1.0, as ruff, bandit, CodeQL, semgrep, clippy and others write it.

A result is a finding where it says that something failed, is not suppressed, and is still there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePath

from mendloop.core.findings import RawFinding
from mendloop.core.text import clean
from mendloop.core.vocabulary import IssueType
from mendloop.intake.json_bytes import (
    JsonArray,
    UnreadableJson,
    decode,
    decode_what_can_be,
    elements,
    is_array,
    sized,
)
from mendloop.intake.reading import Reading, is_line
from mendloop.intake.sarif_rules import (
    Rules,
    issue_type_from,
    score_from,
    severity_from,
)
from mendloop.intake.sarif_schema import (
    Artifact,
    ArtifactLocation,
    Invocation,
    Log,
    PhysicalLocation,
    Region,
    Result,
    Run,
    VersionControl,
)
from mendloop.intake.uris import path_in_tree, resolved_base

__all__ = ["read"]

_VERSION = "2.1.0"
_NOT_FAILED = frozenset({"pass", "open", "review", "informational", "notApplicable"})
_NOT_YET_SUPPRESSED = frozenset({"underReview", "rejected"})
_MAX_RUNS = 1_000
_TOOL_LIMIT_BYTES = 128


def read(data: bytes, *, root: PurePath | None = None) -> Reading:
    """
    Read a SARIF report; whatever is wrong with it is told in the reading.

    Args:
        data: UTF-8.
        root: The work tree that paths are made relative to, or None.
    """
    reading = Reading()
    try:
        log = decode(data, Log)
        runs = JsonArray(log.runs, limit=_MAX_RUNS)
    except UnreadableJson as error:
        reading.fail(f"the SARIF report does not parse: {error}")
        return reading
    if log.version != _VERSION:
        reading.fail(f'SARIF version "{clean(log.version, limit_bytes=40)}" is not {_VERSION}')
        return reading
    if not len(runs):
        reading.fail("the SARIF report holds no run, so nothing was reviewed")
    if runs.is_cut:
        reading.fail(f"the SARIF report holds more than {_MAX_RUNS} runs")
    for index in range(len(runs)):
        try:
            _read_run(decode(runs.whole(index), Run), reading, root)
        except UnreadableJson as error:
            reading.fail(f"run {index} of the SARIF report cannot be read: {error}")
    return reading


def _read_run(run: Run, reading: Reading, root: PurePath | None) -> None:
    tool = clean(run.tool.driver.name, limit_bytes=_TOOL_LIMIT_BYTES).strip() or "unnamed"
    if tool not in reading.tools:
        reading.tools.append(tool)
    reading.commits |= _commits(run)
    if not _has_succeeded(run):
        reading.fail(f"{tool} does not say that its own run was successful")
    results = memoryview(run.results)
    if not is_array(results):
        reading.fail(f"{tool} reports no results at all, not even none")
        return
    reader = _RunReader(run, tool, root)
    for index, (start, end) in enumerate(elements(results)):
        if reading.is_over:
            return
        try:
            result, problem = decode_what_can_be(sized(results[start:end]), Result)
        except UnreadableJson as error:
            reading.fail(f"result {index} of {tool} cannot be read: {error}")
            continue
        if problem:
            reading.fail(f"result {index} of {tool}: {problem}")
        finding = reader.finding(result)
        if finding is not None:
            reading.add(finding)


class _RunReader:
    """Turns the results of one run into findings."""

    def __init__(self, run: Run, tool: str, root: PurePath | None) -> None:
        self._tool = tool
        self._root = root
        self._rules = Rules(run.tool)
        self._artifacts = JsonArray(run.artifacts)
        self._bases = _bases(run)
        self._paths: dict[tuple[str, str], str] = {}

    def finding(self, result: Result) -> RawFinding | None:
        """Read one result; None where it is no finding."""
        if not _is_finding(result):
            return None
        rule = self._rules.rule_of(result)
        own_score = score_from(result.properties)
        score = own_score if own_score is not None else rule.score
        severity, note = severity_from(result, rule, score)
        issue_type = issue_type_from(result.properties) or rule.issue_type or IssueType.BUG
        description = self._rules.words(result.message, rule)
        if not description:
            description = rule.title or rule.id or "a result without a message"
            note = f"{note}; no message was given" if note else "no message was given"
        path, line, context = self._place(result)
        return RawFinding(
            severity=severity,
            issue_type=issue_type if score is None else IssueType.SECURITY,
            description=description,
            tool=self._tool,
            rule=rule.id,
            path=path,
            line=line,
            identity=_identity(result),
            context=context,
            note=note,
        )

    def _place(self, result: Result) -> tuple[str, int, str]:
        physical = next(_physical_locations(result), None)
        if physical is None:
            return "", 0, ""
        region = physical.region or Region()
        snippet = region.snippet
        line = region.start_line if is_line(region.start_line) else 0
        context = (snippet.text if snippet is not None else None) or ""
        return self._path(physical.artifact_location), line, context

    def _path(self, location: ArtifactLocation | None) -> str:
        if location is not None and not location.uri and location.index >= 0:
            location = self._artifact(location.index)
        if location is None:
            return ""
        named = (location.uri or "", location.uri_base_id or "")
        if named not in self._paths:
            base = resolved_base(named[1], self._bases)
            self._paths[named] = path_in_tree(named[0], base=base, root=self._root)
        return self._paths[named]

    def _artifact(self, index: int) -> ArtifactLocation | None:
        try:
            return decode(self._artifacts[index], Artifact).location
        except UnreadableJson:
            return None


def _physical_locations(result: Result) -> Iterator[PhysicalLocation]:
    for location in result.locations or ():
        if location.physical_location is not None:
            yield location.physical_location


def _is_finding(result: Result) -> bool:
    if result.kind in _NOT_FAILED or result.baseline_state == "absent":
        return False
    # A suppression counts once it is accepted, which is also what no status means (3.27.23).
    suppressions = result.suppressions or []
    pending = any(one.status in _NOT_YET_SUPPRESSED for one in suppressions)
    return not suppressions or pending


def _identity(result: Result) -> str:
    named = result.fingerprints or result.partial_fingerprints
    return json.dumps(named, sort_keys=True, ensure_ascii=False) if named else ""


def _bases(run: Run) -> dict[str, tuple[str, str]]:
    raw = memoryview(run.original_uri_base_ids)
    try:
        bases = decode(sized(raw), dict[str, ArtifactLocation]) if raw else {}
    except UnreadableJson:
        return {}
    return {name: (base.uri or "", base.uri_base_id or "") for name, base in bases.items()}


def _commits(run: Run) -> set[str]:
    raw = memoryview(run.version_control_provenance)
    if not is_array(raw):
        return set()
    try:
        repositories = decode(sized(raw), list[VersionControl])
    except UnreadableJson:
        return set()
    return {repository.revision_id for repository in repositories if repository.revision_id}


def _has_succeeded(run: Run) -> bool:
    raw = memoryview(run.invocations)
    if not is_array(raw):
        return True
    try:
        invocations = decode(sized(raw), list[Invocation])
    except UnreadableJson:
        return False
    return all(invocation.execution_successful for invocation in invocations)
