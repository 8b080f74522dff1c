import hashlib
import hmac

from hypothesis import assume, given
from hypothesis import strategies as st

from mendloop.intake.github.signature import Signature, check_signature, sign

_SECRETS = st.binary(min_size=1, max_size=80)
_BODIES = st.binary(max_size=400)


def test_the_example_of_the_documentation_is_valid() -> None:
    """The value that GitHub's own page gives for testing is the one that is made here."""
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret = b"It's a Secret to Everybody"

    assert expected == sign(b"Hello, World!", secret)
    assert Signature.VALID is check_signature(b"Hello, World!", expected, [secret])


@given(_BODIES, _SECRETS, _SECRETS)
def test_either_of_two_secrets_lets_in_while_one_replaces_the_other(
    body: bytes, old: bytes, new: bytes
) -> None:
    """During a rotation what is signed with the old or with the new one is valid."""
    for secret in (old, new):
        assert Signature.VALID is check_signature(body, sign(body, secret), [old, new])


@given(_BODIES, _SECRETS, st.data())
def test_any_change_of_the_body_fails(body: bytes, secret: bytes, data: st.DataObject) -> None:
    """One byte more, less, or other, and the signature is wrong."""
    header = sign(body, secret)
    other = data.draw(
        st.one_of(
            st.binary(max_size=400),
            st.just(body + b"\n"),
            st.just(body[:-1]),
            st.builds(
                lambda place, byte: body[:place] + bytes([byte]) + body[place + 1 :],
                st.integers(0, max(len(body) - 1, 0)),
                st.integers(0, 255),
            ),
        )
    )
    assume(other != body)

    assert Signature.WRONG is check_signature(other, header, [secret])


@given(_BODIES, _SECRETS, st.integers(0, 70), st.characters(codec="utf-8"))
def test_any_change_of_the_header_fails(body: bytes, secret: bytes, place: int, sign_: str) -> None:
    """One character other, and nothing is let in."""
    header = sign(body, secret)
    changed = header[:place] + sign_ + header[place + 1 :]
    assume(changed != header)

    assert Signature.VALID is not check_signature(body, changed, [secret])


@given(_BODIES, _SECRETS, _SECRETS)
def test_another_secret_fails(body: bytes, secret: bytes, other: bytes) -> None:
    """Who has another secret is not let in."""
    # HMAC fills a short key with zeros, so that these two are one secret.
    assume(secret.ljust(128, b"\0") != other.ljust(128, b"\0"))
    assume(len(secret) <= 64)
    assume(len(other) <= 64)

    assert Signature.WRONG is check_signature(body, sign(body, secret), [other])


@given(st.text(max_size=90))
def test_no_other_header_is_looked_at(header: str) -> None:
    """What is not ``sha256=`` and 64 hex digits in lower case is malformed, and compared to nothing."""
    body, secret = b"{}", b"a secret"

    assert Signature.MALFORMED is check_signature(body, header, [secret])


def test_near_misses_of_the_grammar_are_malformed() -> None:
    """Upper case, blanks, a line end, another prefix, two values: none of them is what GitHub sends."""
    body, secret = b"{}", b"a secret"
    good = sign(body, secret)
    digits = good.removeprefix("sha256=")
    bad = [
        good.upper(),
        f"SHA256={digits}",
        f"sha256={digits.upper()}",
        f" {good}",
        f"{good} ",
        f"{good}\n",
        f"{good}, {good}",
        digits,
        f"sha256:{digits}",
        f"sha256={digits[:-1]}",
        f"sha256={digits}0",
        f"sha256={digits[:-1]}\uff11",
        "",
    ]

    assert [Signature.MALFORMED] * len(bad) == [
        check_signature(body, header, [secret]) for header in bad
    ]


def test_sha1_is_refused() -> None:
    """The older signature, right as it may be, lets nothing in."""
    body, secret = b"{}", b"a secret"
    older = "sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest()

    assert Signature.MALFORMED is check_signature(body, older, [secret])


def test_without_a_signature_or_a_secret_nothing_is_let_in() -> None:
    """A missing header is told as such, and no secret, or an empty one, signs nothing."""
    assert Signature.MISSING is check_signature(b"{}", None, [b"a secret"])
    assert Signature.WRONG is check_signature(b"{}", sign(b"{}", b""), [])
    assert Signature.WRONG is check_signature(b"{}", sign(b"{}", b""), [b""])
