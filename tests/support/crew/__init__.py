"""Several processes that work on the same tasks, what they saw, and whether it can have been so."""

from crew.processes import Crew, Plan
from crew.records import Seen, read_records
from crew.stores import open_spec
from crew.verdict import Verdict, judge_tasks

__all__ = ["Crew", "Plan", "Seen", "Verdict", "judge_tasks", "open_spec", "read_records"]
