from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from github_payloads import account, as_body, issue_comment, review
from hypothesis import given
from hypothesis import strategies as st
from states import NOW

from mendloop.intake.github.deliveries import Delivery
from mendloop.intake.github.guards import Authors, refusal_of_author, refusal_of_storm
from mendloop.intake.github.reduction import reduce

_AUTHORS = Authors(
    own_login="mender[bot]",
    bots=("octo-ci", "Reviewer[bot]"),
    ignored=("Spammer",),
    allow=("Ann",),
    allow_teams=("reviewers",),
    allow_associations=("owner", "MEMBER"),
    teams={"reviewers": ("ben",), "others": ("carl",)},
)


def _written_by(login: str, kind: str = "User", association: str = "NONE", **more: Any) -> Delivery:
    person = account(login, kind)
    payload = review(user=person, author_association=association, event={"sender": person, **more})
    found = reduce("pull_request_review", "d-1", as_body(payload))
    assert isinstance(found, Delivery)
    return found


@pytest.mark.parametrize(
    ("login", "kind", "association"),
    [
        ("ann", "User", "NONE"),
        ("ANN", "User", "FIRST_TIMER"),
        ("ben", "User", "NONE"),
        ("dora", "User", "OWNER"),
        ("dora", "User", "member"),
        ("octo-ci[bot]", "Bot", "NONE"),
        ("reviewer[bot]", "Bot", "NONE"),
    ],
)
def test_who_is_named_counts(login: str, kind: str, association: str) -> None:
    """By name, team, association or as a listed bot, in any letter case."""
    assert "" == refusal_of_author(_written_by(login, kind, association), _AUTHORS)


@pytest.mark.parametrize(
    ("login", "kind", "association", "why"),
    [
        ("mender[bot]", "Bot", "OWNER", "own account"),
        ("MENDER", "User", "OWNER", "own account"),
        ("spammer", "User", "OWNER", "ignored by the configuration"),
        ("carl", "User", "COLLABORATOR", "not allowed by name"),
        ("ann[bot]", "Bot", "OWNER", "not listed"),
        ("octo-ci", "User", "NONE", "not allowed by name"),
        ("other[bot]", "User", "OWNER", "not listed"),
        ("", "User", "NONE", "not allowed by name"),
    ],
)
def test_who_is_not_named_does_not_count(login: str, kind: str, association: str, why: str) -> None:
    """Neither the own account, nor who is ignored, nor a bot that is not listed, nor a stranger."""
    assert why in refusal_of_author(_written_by(login, kind, association), _AUTHORS)


def test_who_changes_a_comment_has_to_count_too() -> None:
    """What a bot that is not listed, or who is ignored, edits or deletes of others does nothing."""
    for login, kind in (("noisy[bot]", "Bot"), ("spammer", "User"), ("mender[bot]", "Bot")):
        payload = issue_comment("deleted", event={"sender": account(login, kind)})
        found = reduce("issue_comment", "d-1", as_body(payload))
        assert isinstance(found, Delivery)
        assert refusal_of_author(found, _AUTHORS)


def test_an_empty_configuration_lets_nobody_in() -> None:
    """Whom nobody has named does not count, whoever it is."""
    for association in ("OWNER", "MEMBER", "NONE", ""):
        assert refusal_of_author(_written_by("ann", association=association), Authors())


@given(st.lists(st.floats(0, 600), max_size=40), st.integers(1, 10), st.floats(1, 300))
def test_no_window_has_more_than_the_limit(
    seconds: list[float], limit: int, window_seconds: float
) -> None:
    """Of what is let through no more than the limit lies within any window, and less is never refused."""
    passed: list[float] = []
    for second in sorted(seconds):
        times = [NOW + timedelta(seconds=before) for before in passed]
        now = NOW + timedelta(seconds=second)
        refusal = refusal_of_storm(times, now, limit=limit, window_seconds=window_seconds)
        within = [before for before in times if before > now - timedelta(seconds=window_seconds)]
        assert bool(refusal) == (len(within) >= limit)
        if not refusal:
            passed.append(second)


def test_a_clock_that_was_set_back_shuts_nobody_out() -> None:
    """What came at a time that is not there yet does not count."""
    times = [NOW + timedelta(seconds=10)] * 3

    assert "" == refusal_of_storm(times, NOW, limit=3, window_seconds=60)
