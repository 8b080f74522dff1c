"""Reading ``mendloop.toml``, the file in a work tree that says how it is reviewed and fixed."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from mendloop.core.errors import ValidationError

__all__ = ["CONFIG_NAME", "Config", "LoopTable", "ReviewTable", "parse_duration", "read_config"]

CONFIG_NAME = "mendloop.toml"

_UNITS_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?s)?")
_PART = re.compile(r"([\d.]+)([dhms])")
_LONGEST_SECONDS = 366 * 86_400.0

Words = Annotated[str, msgspec.Meta(min_length=1)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]


class LoopTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table ``[loop]``; None where a key is not there."""

    fix: Words | None = None
    fix_timeout: str | float | None = None
    max_iterations: Limit | None = None
    no_progress_rounds: Annotated[int, msgspec.Meta(ge=2)] | None = None
    budget: str | float | None = None
    step_attempts: Annotated[int, msgspec.Meta(ge=1)] | None = None


class ReviewTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table ``[[review]]``."""

    command: Words
    name: str = ""
    format: Literal["sarif", "junit", "jsonl", "text"] | None = None
    timeout: str | float | None = None
    ok_exit_codes: frozenset[Annotated[int, msgspec.Meta(ge=0, le=255)]] | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file; its defaults are those of a work tree without one."""

    task: str = ""
    loop: LoopTable = LoopTable()
    review: tuple[ReviewTable, ...] = ()


def read_config(tree: Path) -> Config:
    """
    Read the file of a work tree; where there is none, nothing is set.

    Raises:
        ValidationError: It cannot be read, is no TOML, or has a key or a value that it may not
            have; the message names the key.
    """
    path = tree / CONFIG_NAME
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValidationError(f"{path} is not a regular file")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValidationError(f"{path} cannot be read: {error}") from error
    _refuse_unknown_keys(path, content)
    try:
        config = msgspec.convert(content, Config)
    except msgspec.ValidationError as error:
        raise ValidationError(f"{path}: {_in_words(str(error))}") from error
    _check_durations(path, config)
    return config


def parse_duration(value: str | float) -> float:
    """
    Read a time in seconds: a number, or text such as "90s", "15m", "1h30m" or "2d".

    Raises:
        ValidationError: It is none, or not above zero and at most a year.
    """
    text = str(value).strip()
    if text and _DURATION.fullmatch(text):
        seconds = sum(float(count) * _UNITS_SECONDS[unit] for count, unit in _PART.findall(text))
    else:
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ValidationError(
            f"{value!r} is not a duration: write seconds, or for instance 90s, 15m, 1h30m or 2d"
        )
    return seconds


def _refuse_unknown_keys(path: Path, content: dict[str, Any]) -> None:
    _check_keys(path, content, Config, "")
    if isinstance(content.get("loop"), dict):
        _check_keys(path, content["loop"], LoopTable, " in [loop]")
    reviews = content.get("review")
    for review in reviews if isinstance(reviews, list) else []:
        if isinstance(review, dict):
            _check_keys(path, review, ReviewTable, " in [[review]]")


def _check_keys(path: Path, table: dict[str, Any], kind: type[msgspec.Struct], where: str) -> None:
    known = kind.__struct_fields__
    for key in table:
        if key not in known:
            raise ValidationError(
                f"{path}: unknown key {key!a}{where}; known are: {', '.join(known)}"
            )


def _in_words(message: str) -> str:
    """``Expected `int`, got `str` - at `$.loop.x``` with the key first."""
    what, _, place = message.partition(" - at ")
    key = place.strip("`").removeprefix("$").removeprefix(".")
    return f"{key or 'the file'}: {what[:1].lower()}{what[1:]}"


def _check_durations(path: Path, config: Config) -> None:
    durations = {"loop.fix_timeout": config.loop.fix_timeout, "loop.budget": config.loop.budget}
    for number, review in enumerate(config.review):
        durations[f"review[{number}].timeout"] = review.timeout
    for key, value in durations.items():
        if value is not None:
            try:
                parse_duration(value)
            except ValidationError as error:
                raise ValidationError(f"{path}: {key}: {error}") from error
