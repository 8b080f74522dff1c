"""What a user typed by mistake is not told again, where it is a secret."""

import random
import string

from cli_user import User


def _token() -> str:
    alphabet = string.ascii_letters + string.digits
    return "ghp_" + "".join(random.Random(3).choice(alphabet) for _ in range(36))


def test_an_error_that_quotes_a_secret_shows_a_mark(user: User) -> None:
    """In words, as an object and in a traceback, and whoever refuses."""
    token = _token()
    calls = (
        ("show", f"!{token}"),
        ("show", "task", f"--{token}"),
        ("--store", f"nowhere:{token}", "list"),
    )
    for arguments in calls:
        done = user(*arguments, "-o", "json", MENDLOOP_DEBUG="1")

        assert 0 != done.code
        assert token not in done.out + done.err, arguments


def test_a_reason_a_name_and_a_finding_are_kept_with_marks(user: User) -> None:
    """Nothing that is stored, shown or told holds the secret that was given."""
    token = _token()
    finding = (
        "--severity",
        "High",
        "--issue-type",
        "Bug",
        "--description",
        f"uses {token} in code",
    )
    calls = (
        ("increment", "task", "--by", f"me {token}"),
        ("feedback", "add", "task", *finding, "--author", f"a {token}"),
        ("pause", "task", "--reason", f"rotate {token}"),
        ("stop", "task", "--reason", f"rotate {token}"),
    )
    told = [user(*arguments) for arguments in calls]
    told += [user(name, "task", "-o", "json") for name in ("show", "history", "explain")]
    kept = b"".join(path.read_bytes() for path in user.state_folder.rglob("*") if path.is_file())

    assert [0] * len(told) == [done.code for done in told]
    assert token.encode() not in kept
    assert not [done for done in told if token in done.out + done.err]
    assert b"[redacted: github token]" in kept
