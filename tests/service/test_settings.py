"""The configuration file and the secrets of the service: what cannot be meant is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mendloop.core.errors import ValidationError
from mendloop.service.settings import Secrets, read_secret, read_settings


def _read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(content)
    read_settings(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[github]\nmax_age = "2d"\n[cleanup]\nretention = "1d"\n', "could bring back a task"),
        ('[github]\nmax_age = "9d"\n', "github.max_age: it is longer than cleanup.retention"),
        ('[cleanup]\naudit = "soon"\n', "cleanup.audit: "),
        ('[github.storm]\nwindow = "-1s"\n', "github.storm.window: "),
        (
            '[github]\nallow_teams = ["core"]\n',
            "there is no [github.teams] 'core'; known are: none",
        ),
        ("[cleanup]\nretain = 1\n", "retain"),
        ("[github.storm]\nlimit = 0\n", "limit"),
        ("[cleanup\n", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(
    content: str, told: str, tmp_path: Path
) -> None:
    """Before anything is taken in; the message names the file too."""
    with pytest.raises(ValidationError) as caught:
        _read(tmp_path, content)

    assert told in str(caught.value)
    assert str(tmp_path / "serve.toml") in str(caught.value)


def test_a_delivery_may_be_as_old_as_a_task_is_kept(tmp_path: Path) -> None:
    """An empty file is in order too."""
    _read(tmp_path, '[github]\nmax_age = "1d"\n[cleanup]\nretention = "24h"\n')
    _read(tmp_path, "")


@pytest.mark.parametrize("length", [0, 1, 15, 4097])
def test_a_secret_that_is_too_short_or_too_long_is_none(length: int, tmp_path: Path) -> None:
    """White space around it does not count, and the message repeats nothing of it."""
    path = tmp_path / "secret"
    path.write_bytes(b"z" * length + (b" \n" if length < 16 else b""))
    with pytest.raises(ValidationError, match=f"has {length} bytes: use 16 to 4096") as caught:
        read_secret(path)

    assert "zz" not in str(caught.value)


def test_a_secret_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    """The shortest and the longest that there may be; none is told where they are shown."""
    for length in (16, 4096):
        path = tmp_path / "secret"
        path.write_bytes(b"s" * length)
        assert b"s" * length == read_secret(path)
    path.write_bytes(b" " + b"s" * 16 + b"\r\n")

    assert b"s" * 16 == read_secret(path)
    assert "Secrets(github=1, feedback=0)" == repr(Secrets(github=(read_secret(path),)))
