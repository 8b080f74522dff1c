from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pytest
from sarif_log import MESSAGE, result_at, sarif

from mendloop.core.findings import RawFinding, Report

Read = Callable[..., Report]
One = Callable[..., RawFinding]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("src/a.py", "src/a.py"),
        ("./src//a.py", "src/a.py"),
        ("a%20b%C3%BC.py", "a bü.py"),
        ("file:///work/tree/src/a.py", "src/a.py"),
        ("file:/work/tree/a.py", "a.py"),
        ("file://localhost/work/tree/a%23.py", "a#.py"),
        ("/work/tree/a.py", "a.py"),
        ("file:///work/tree/../treehouse/a.py", "/work/treehouse/a.py"),
        ("file:///work/treehouse/a.py", "/work/treehouse/a.py"),
        ("file:///C:/x/a.py", "C:/x/a.py"),
        ("https://example.com/a.py", "https://example.com/a.py"),
        ("../outside.py", "../outside.py"),
        ("a:b.py", "a:b.py"),
    ],
)
def test_a_place_is_a_path_in_the_work_tree(one: One, uri: str, path: str) -> None:
    """Uris of all kinds become paths, relative where they lie in the tree."""
    finding = one(sarif(result_at(uri, line=7)), root=PurePosixPath("/work/tree"))

    assert (path, 7) == (finding.path, finding.line)


@pytest.mark.parametrize(
    ("bases", "path"),
    [
        ({"SRC": {"uri": "file:///work/tree/lib/"}}, "lib/a.py"),
        (
            {"SRC": {"uri": "lib/", "uriBaseId": "TOP"}, "TOP": {"uri": "file:///work/tree/"}},
            "lib/a.py",
        ),
        ({"SRC": {"uri": "file:///elsewhere/"}}, "a.py"),
        ({"SRC": {"description": {"text": "unknown"}}}, "a.py"),
        ({"SRC": {"uri": "x/", "uriBaseId": "SRC"}}, "a.py"),
        ({}, "a.py"),
    ],
)
def test_bases_are_followed_where_they_lead_into_the_tree(
    one: One, bases: dict[str, Any], path: str
) -> None:
    """A base in the tree is put before the path; an unknown, foreign or circular one is not."""
    log = sarif(result_at("a.py", uriBaseId="SRC"), originalUriBaseIds=bases)

    assert path == one(log, root=PurePosixPath("/work/tree")).path


def test_a_place_may_be_an_index_of_the_artifacts(one: One) -> None:
    """A location without a uri is looked up in the run; a wrong index loses only the place."""
    located = {"physicalLocation": {"artifactLocation": {"index": 1}}}
    artifacts = [{}, {"location": {"uri": "b.py"}}]
    result = {"message": MESSAGE, "locations": [located]}

    assert one(sarif(result, artifacts=artifacts)).path == "b.py"
    assert one(sarif(result, artifacts=[])).path == ""


def test_the_first_physical_location_is_the_place(one: One) -> None:
    """Logical locations before it are passed over."""
    result = {
        "message": MESSAGE,
        "locations": [{"logicalLocations": []}, *result_at("a.py")["locations"]],
    }

    assert one(sarif(result)).path == "a.py"


def test_a_line_beyond_any_file_is_no_line(one: One) -> None:
    """A figure that cannot be a line is dropped, and the finding stays."""
    assert one(sarif(result_at("a.py", line=2**40))).line == 0
    assert one(sarif(result_at("a.py", line=-5))).line == 0


def test_the_tools_own_fingerprints_name_the_finding(one: One) -> None:
    """Full ones go before partial ones, in an order of their own."""
    partial = {"b": "2", "a": "1"}
    turned = {"a": "1", "b": "2"}
    names = [
        one(sarif({"message": MESSAGE, "partialFingerprints": partial})).identity,
        one(sarif({"message": MESSAGE, "partialFingerprints": turned})).identity,
        one(
            sarif({"message": MESSAGE, "partialFingerprints": partial, "fingerprints": {"f": "0"}})
        ).identity,
    ]

    assert names[0] == names[1] != names[2]
    assert "" not in names


def test_equal_partial_fingerprints_stay_two_findings(
    read: Read, names: Callable[[Report], list[str]]
) -> None:
    """A tool that names two results of one rule, file and message the same loses none."""
    twice = [{**result_at("a.py", line=n), "partialFingerprints": {"h": "x"}} for n in (3, 9)]
    report = read(sarif(*twice))

    assert len(set(names(report))) == 2


def test_the_text_of_the_line_is_asked_for_only_within_the_tree(one: One, read: Read) -> None:
    """A snippet goes before the file; a path that climbs or is absolute is never opened."""
    asked: list[tuple[str, int]] = []

    def context(path: str, line: int) -> str:
        asked.append((path, line))
        return f"line {line}"

    snippet = result_at("b.py", line=2)
    snippet["locations"][0]["physicalLocation"]["region"]["snippet"] = {"text": "given"}
    report = read(
        sarif(
            result_at("a.py", line=7),
            snippet,
            result_at("../x.py", line=1),
            result_at("/etc/passwd", line=1),
            result_at("a%00b", line=1),
            result_at("c.py"),
        ),
        context=context,
    )

    assert [("a.py", 7)] == asked
    assert ["line 7", "given", "", "", "", ""] == [f.context for f in report.findings]
