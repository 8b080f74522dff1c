import re

import pytest
from comment_table import TABLE, TableComment, fenced, lost_words, quoted
from hypothesis import given
from hypothesis import strategies as st

from mendloop.core.errors import TooLarge
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake.comments import COMMENT_LIMIT_BYTES, ReviewComment, read_comment

_LINES = """
{w} {w}
- {w}
  - {w}
- [ ] {w}
  - [x] {w}
1. [x] {w}
   {w}
> {w}
> > ### {w}
### {w}
# {w} #
### Description
### Acceptance Criteria Not Met
### Steps to Reproduce
### Expected vs Actual
#### {w}
**Expected**: {w}
- **Actual**: {w}
*Actual results*: {w}
**Description:** {w}
**Steps to reproduce** (on {w})
Steps to Reproduce:
{w}:
```
```{w}
~~~
    {w}
\t{w}
<details>
<summary>{w}</summary>
</details>
<pre>
</pre>
<blockquote>{w}
| {w} | {w} |
|---|---|
| Severity | Issue Type |
| Severity | {w} |
Severity: {w}
**Severity**: [High]
Severity: High | Issue Type: Bug {w}
Severity: Low, {w}
Issue Type: Bug
**Issue Type**: [Bug] {w}
**Issue Type**:
### Severity
- [ ] High
- [x] Low
- [x] Low {w}
🔴 Required Changes
🔴 Required Changes {w}
Required changes {w}
✅ Required Changes
===
---

<!-- {w}
-->
**{w}**
`{w}`
[Bug]: {w}
[{w}
""".strip("\n").split("\n")


def _numbered(lines: list[str]) -> str:
    """A comment of *lines* in which no word is there twice."""
    text = "\n".join(lines)
    parts = text.split("{w}")
    return parts[0] + "".join(f"word{place}{part}" for place, part in enumerate(parts[1:]))


_COMMENTS = st.lists(st.sampled_from(_LINES), max_size=25).map(_numbered)
_TEXTS = st.text(st.one_of(st.sampled_from("ab \n\t>#*-_`[]():|<>!/\\1."), st.characters()))


def _is_found(word: str, comment: ReviewComment) -> bool:
    return re.search(rf"{word}\b", f"{comment.text()}\n{comment.note}") is not None


@pytest.mark.parametrize("comment", TABLE, ids=lambda comment: comment.name)
def test_a_comment_becomes_what_the_table_says(comment: TableComment) -> None:
    """Every part of a comment is kept where it belongs, and what asks for nothing is no finding."""
    assert comment.becomes == read_comment(comment.body)


@pytest.mark.parametrize("comment", TABLE, ids=lambda comment: comment.name)
def test_no_word_of_the_table_is_lost(comment: TableComment) -> None:
    """Each word that a reader sees stands in the finding, as often as in the comment."""
    found = read_comment(comment.body)

    if found is not None:
        assert not lost_words(comment.body, found)


@pytest.mark.parametrize("comment", TABLE, ids=lambda comment: comment.name)
def test_what_is_quoted_or_code_is_no_finding(comment: TableComment) -> None:
    """The same comment within a quote, a fence, preformatted HTML or behind other text in one is none."""
    assert read_comment(quoted(comment.body)) is None
    assert read_comment(quoted(quoted(comment.body))) is None
    assert read_comment(fenced(comment.body)) is None
    assert read_comment(f"As I said:\n\n{quoted(comment.body)}\n\nDone.") is None


def test_the_table_is_large() -> None:
    """There are more than a hundred comments, a quarter of which are no findings."""
    assert len(TABLE) >= 110
    assert sum(comment.becomes is None for comment in TABLE) >= 28


@given(_COMMENTS)
def test_no_word_of_any_comment_is_lost(body: str) -> None:
    """Whatever a comment is made of, each of its words stands in some part of the finding."""
    found = read_comment(f"🔴 Required Changes\nword {body}")

    assert found is not None
    assert [] == [word for word in re.findall(r"word\d+", body) if not _is_found(word, found)]


@given(_COMMENTS)
def test_nothing_quoted_is_ever_a_finding(body: str) -> None:
    """A comment that is quoted or fenced as a whole asks for nothing, whatever it is made of."""
    assert read_comment(quoted(f"🔴 Required Changes\n{body}")) is None
    assert read_comment(fenced(f"🔴 Required Changes\n{body}")) is None


@given(_TEXTS)
def test_any_text_is_read(text: str) -> None:
    """No text makes reading fail, and none behind the marker is lost but what says structure."""
    found = read_comment(f"🔴 Required Changes\n\nword {text}")

    assert found is not None
    assert not [word for word in lost_words(text, found) if word not in {"a", "b"}]


@given(_COMMENTS, st.sampled_from(["\r\n", "\r"]))
def test_line_ends_make_no_difference(body: str, line_end: str) -> None:
    """A comment with the line ends of another system is the same comment."""
    assert read_comment(body) == read_comment(body.replace("\n", line_end))


def test_a_comment_of_ten_megabytes_is_read_and_one_byte_more_is_refused() -> None:
    """The limit is in bytes; what is said at the end of such a comment is still read."""
    end = "\n### Steps to Reproduce\n1. wait\n### Actual\nslow ✎\n"
    head = "🔴 Required Changes\nIssue Type: Bug\nSeverity: High\n\n"
    room = COMMENT_LIMIT_BYTES - len((head + end).encode())
    body = head + ("a line of the log ✎\n" * (room // 22)).ljust(room - room // 22 * 2) + end
    found = read_comment(body)

    assert COMMENT_LIMIT_BYTES == len(body.encode())
    assert found is not None
    assert (Severity.HIGH, IssueType.BUG) == (found.severity, found.issue_type)
    assert ("1. wait", "slow ✎") == (found.steps, found.actual)
    assert room // 22 == found.description.count("a line of the log ✎")
    with pytest.raises(TooLarge):
        read_comment(body + ".")


def test_a_marker_in_a_fence_longer_than_what_is_parsed_is_no_finding() -> None:
    """Also where a fence, or preformatted HTML, is so long that its end is not read as Markdown."""
    log = "a line of the log\n" * 20_000
    marked = "🔴 Required Changes\nSeverity: High\n"

    assert read_comment(f"```\n{log}{marked}```\nDone.") is None
    assert read_comment(f"<pre>\n{log}{marked}</pre>\nDone.") is None
    assert read_comment(f"{log}```\n{marked}```\n> {marked}") is None
    assert read_comment(f"```\n{log}```\n{marked}") is not None
