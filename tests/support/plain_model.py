"""
What a task is, in plain dicts: the rules written down a second time, to be compared with.

Each operation returns ("ok", result) or (name of the error, None).
"""

from __future__ import annotations

from typing import Any

__all__ = ["Answer", "PlainModel"]

Answer = tuple[str, Any]
_ENDED = {"Completed", "Failed", "MaxIterationsReached"}
_STATUS_OF = {"completed": "Completed", "max_iterations": "MaxIterationsReached"}


class PlainModel:
    """Tasks by id."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self._answers: dict[str, tuple[str, Answer]] = {}
        self._tips: dict[str, dict[str, int]] = {}
        self._versions: dict[tuple[str, str], dict[str, Any]] = {}

    def ask(self, task_id: str, name: str, op_id: str, **asked: Any) -> Answer:
        """Answer one operation; one that left a record is answered from it ever after."""
        if (task_id + op_id) in self._answers:
            known, answer = self._answers[task_id + op_id]
            return answer if known == name else ("ValidationError", None)
        before = self.tasks[task_id]["commit"] if task_id in self.tasks else 0
        answer: Answer = getattr(self, f"_{name}")(task_id, **asked)
        if task_id in self.tasks and self.tasks[task_id]["commit"] > before:
            self._answers[task_id + op_id] = (name, answer)
        return answer

    def _create(self, task_id: str, limit: int = 10) -> Answer:
        if task_id in self.tasks:
            return "StateExists", None
        self.tasks[task_id] = {
            "iteration": 0,
            "status": "Initialized",
            "limit": limit,
            "paused": False,
            "reason": None,
            "findings": {},
            "metadata": {},
            "tip": None,
            "holder": None,
            "generation": 0,
            "renewals": 0,
            "step": None,
            "begun": False,
            "rounds": 0,
            "reviewed": None,
            "seen_whole": None,
            "commit": 1,
        }
        return "ok", {}

    def _increment(self, task_id: str, generation: int | None, limit: int | None) -> Answer:
        is_new = task_id not in self.tasks
        if is_new:
            self._create(task_id)
            self.tasks[task_id]["commit"] = 0
        task = self.tasks[task_id]
        refusal = (
            "MaxIterationsReached"
            if task["status"] == "MaxIterationsReached"
            else self._not_running(task) or self._not_mine(task, generation)
        )
        if not refusal and limit is not None and limit < max(1, task["iteration"]):
            refusal = "ValidationError"
        if refusal:
            if is_new:
                del self.tasks[task_id]
            return refusal, None
        task["limit"] = task["limit"] if limit is None else limit
        task["commit"] += 1
        if task["iteration"] >= task["limit"]:
            self._end(task, "max_iterations")
            return "MaxIterationsReached", None
        was_reviewed = task["reviewed"] == task["iteration"]
        task["iteration"] += 1
        task |= {"status": "InProgress", "begun": False}
        is_open = any(not finding[1] for finding in task["findings"].values())
        task["step"] = "fix" if task["iteration"] > 1 and (was_reviewed or is_open) else "review"
        return "ok", {"iteration": task["iteration"]}

    def _append(self, task_id: str, entries: list[tuple[str, str]]) -> Answer:
        if task_id not in self.tasks:
            return "StateNotFound", None
        task = self.tasks[task_id]
        counts = {"new": 0, "known": 0, "edited": 0, "outdated": 0}
        for name, text in entries:
            known = task["findings"].get(name)
            kind = "new" if known is None else "known" if known == [text, False] else "edited"
            counts[kind] += 1
            task["findings"][name] = [text, False]
        task["commit"] += bool(counts["new"] or counts["edited"])
        return "ok", counts | {"ids": [name for name, _ in entries]}

    def _tip(self, task_id: str, commit: str, minute: int) -> Answer:
        if task_id not in self.tasks:
            return "StateNotFound", None
        task, tips = self.tasks[task_id], self._tips.setdefault(task_id, {})
        before = sorted(tips, key=lambda tip: (tips[tip], tip))
        tips[commit] = max(minute, tips.get(commit, minute))
        after = sorted(tips, key=lambda tip: (tips[tip], tip))
        task |= {"tip": after[-1], "commit": task["commit"] + (before != after)}
        return "ok", {"tip": after[-1], "is_moved": before[-1:] != after[-1:]}

    def _comment(
        self, task_id: str, told: tuple[str, str, str], minute: int, commit: str
    ) -> Answer:
        if task_id not in self.tasks:
            return "StateNotFound", None
        task = self.tasks[task_id]
        name, text, event = told
        is_old = commit in self._tips.get(task_id, {}) and commit != task["tip"]
        rank = (event == "deleted", minute, event != "created", text)
        known = self._versions.get((task_id, name))
        if known is not None and (known["rank"][0] or rank <= known["rank"]):
            return "ok", {"id": name, "is_changed": False}
        is_outdated = is_old
        if known is not None:
            is_same = task["findings"][name][0] == text
            is_waiting = is_old or is_same or not commit
            is_outdated = known["is_outdated"] and is_waiting
        is_gone = is_outdated or event == "deleted"
        self._versions[task_id, name] = {"rank": rank, "is_outdated": is_outdated}
        task["findings"][name] = [text, is_gone]
        task["commit"] += 1
        return "ok", {"id": name, "is_changed": True}

    def _pause(self, task_id: str) -> Answer:
        if task_id not in self.tasks:
            return "StateNotFound", None
        task = self.tasks[task_id]
        if task["status"] in _ENDED:
            return "TaskEnded", None
        is_new = not task["paused"]
        task["commit"] += is_new
        task["paused"] = True
        return "ok", {"is_new": is_new}

    def _resume(self, task_id: str, limit: int | None) -> Answer:
        if task_id not in self.tasks:
            return "StateNotFound", None
        task = self.tasks[task_id]
        is_ended = task["status"] in _ENDED
        if limit is not None and limit < max(1, task["iteration"]):
            return "ValidationError", None
        wanted = task["limit"] if limit is None else limit
        is_spent = task["status"] == "MaxIterationsReached" and task["iteration"] >= wanted
        if is_spent or not (is_ended or task["paused"] or limit is not None):
            return "ValidationError", None
        if is_ended:
            task |= {"reason": None, "rounds": 0, "begun": False}
            task |= {"reviewed": None, "seen_whole": None}
            task["status"] = "InProgress" if task["iteration"] else "Initialized"
            task["step"] = "review" if task["iteration"] else None
        task |= {"limit": wanted, "paused": False}
        task["commit"] += 1
        return "ok", {"iteration": task["iteration"]}

    def _stop(self, task_id: str) -> Answer:
        if task_id not in self.tasks:
            return "StateNotFound", None
        task = self.tasks[task_id]
        if task["status"] not in _ENDED:
            self._end(task, "terminated")
            task["generation"] += task["holder"] is not None
            task |= {"holder": None, "renewals": 0, "commit": task["commit"] + 1}
        return "ok", {}

    def _acquire(self, task_id: str, token: str, abandoned: tuple[int, int] | None) -> Answer:
        if task_id not in self.tasks:
            return "StateNotFound", None
        task = self.tasks[task_id]
        if task["holder"] != token:
            if task["holder"] and (task["generation"], task["renewals"]) != abandoned:
                return "LeaseHeld", None
            task |= {"holder": token, "generation": task["generation"] + 1, "renewals": 0}
            task["commit"] += 1
        return "ok", {"generation": task["generation"]}

    def _renew(self, task_id: str, generation: int) -> Answer:
        refusal = self._not_holding(task_id, generation)
        if refusal:
            return refusal, None
        self.tasks[task_id]["renewals"] += 1
        return "ok", {}

    def _release(self, task_id: str, generation: int) -> Answer:
        if task_id not in self.tasks:
            return "StateNotFound", None
        if not self._not_holding(task_id, generation):
            self.tasks[task_id] |= {"holder": None, "renewals": 0}
            self.tasks[task_id]["commit"] += 1
        return "ok", {}

    def _begin(self, task_id: str, generation: int, kind: str) -> Answer:
        refusal = self._not_holding(task_id, generation)
        refusal = refusal or self._not_running(self.tasks[task_id])
        if refusal:
            return refusal, None
        task = self.tasks[task_id]
        if task["step"] not in {None, kind}:
            return "TransitionRefused", None
        task["commit"] += not task["begun"]
        task |= {"step": kind, "begun": True}
        return "ok", {}

    def _review(
        self, task_id: str, generation: int, names: list[str], *, is_complete: bool
    ) -> Answer:
        refusal = self._not_holding(task_id, generation) or self._not_begun(task_id, "review")
        if refusal:
            return refusal, None
        task = self.tasks[task_id]
        findings, counts = task["findings"], {"new": 0, "resolved": 0, "reopened": 0}
        for name in names:
            known = findings.get(f"tool {name}")
            counts["new"] += known is None
            counts["reopened"] += known is not None and known[1]
            findings[f"tool {name}"] = [f"fault {name}", False]
        for key, finding in findings.items():
            is_gone = key.startswith("tool ") and key.removeprefix("tool ") not in names
            if is_complete and is_gone and not finding[1]:
                finding[1] = True
                counts["resolved"] += 1
        task |= {"begun": False, "commit": task["commit"] + 1}
        if is_complete or names:
            task |= {"step": None, "rounds": min(task["rounds"] + 1, 20)}
            task["reviewed"] = task["iteration"]
            task["seen_whole"] = task["iteration"] if is_complete else None
        return "ok", counts | {
            "iteration": task["iteration"],
            "open": sum(not finding[1] for finding in findings.values()),
        }

    def _fix(self, task_id: str, generation: int, problem: str) -> Answer:
        refusal = self._not_holding(task_id, generation) or self._not_begun(task_id, "fix")
        if refusal:
            return refusal, None
        task = self.tasks[task_id]
        task |= {"begun": False, "commit": task["commit"] + 1}
        task["step"] = "fix" if problem else "review"
        return "ok", {"is_tree_changed": True}

    def _finish(self, task_id: str, generation: int, reason: str) -> Answer:
        refusal = self._not_holding(task_id, generation)
        refusal = refusal or self._not_running(self.tasks[task_id])
        if refusal:
            return refusal, None
        task = self.tasks[task_id]
        is_open = any(not finding[1] for finding in task["findings"].values())
        is_clean = task["seen_whole"] == task["iteration"] and not task["step"] and not is_open
        is_due = {"completed": is_clean, "max_iterations": task["iteration"] >= task["limit"]}
        if is_due.get(reason, True):
            self._end(task, reason)
            task["commit"] += 1
        return "ok", {}

    def _put(self, task_id: str, seen: int, metadata: dict[str, str], iteration: int) -> Answer:
        task = self.tasks.get(task_id)
        if task is None:
            return "RevisionConflict", None
        if seen != task["commit"]:
            return "RevisionConflict", None
        if task["holder"]:
            return "LeaseHeld", None
        if iteration < task["iteration"]:
            return "ValidationError", None
        task["metadata"] |= metadata
        task |= {"iteration": iteration, "commit": task["commit"] + 1}
        return "ok", {}

    def _end(self, task: dict[str, Any], reason: str) -> None:
        task |= {"status": _STATUS_OF.get(reason, "Failed"), "reason": reason}
        task |= {"step": None, "begun": False, "paused": False}

    def _not_running(self, task: dict[str, Any]) -> str:
        if task["status"] in _ENDED:
            return "TaskEnded"
        return "TaskPaused" if task["paused"] else ""

    def _not_mine(self, task: dict[str, Any], generation: int | None) -> str:
        if generation is None:
            return "LeaseHeld" if task["holder"] else ""
        is_mine = task["holder"] and task["generation"] == generation
        return "" if is_mine else "LeaseLost"

    def _not_holding(self, task_id: str, generation: int) -> str:
        if task_id not in self.tasks:
            return "StateNotFound"
        return self._not_mine(self.tasks[task_id], generation)

    def _not_begun(self, task_id: str, kind: str) -> str:
        task = self.tasks[task_id]
        return "" if task["begun"] and task["step"] == kind else "TransitionRefused"
