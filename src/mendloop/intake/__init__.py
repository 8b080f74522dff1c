"""What reviewers print, read as findings. Parses only: cleaning and limits are in core."""

from __future__ import annotations

from mendloop.intake.jsonl import jsonl_schema
from mendloop.intake.recognise import FORMATS, OK_EXIT_CODES, read_report

__all__ = ["FORMATS", "OK_EXIT_CODES", "jsonl_schema", "read_report"]
