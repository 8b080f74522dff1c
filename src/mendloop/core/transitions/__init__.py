"""
What each command does to a state: pure, total, and the only way that a state changes.

A transition returns the new state and what to tell the caller, or raises a `StateError` and so
changes nothing. Which module holds what: `lifecycle` starts, pauses and ends tasks, `steps` takes
what reviewers and fixers did, `ledger` keeps findings, `judging` takes a person's word on them, `put` takes a
whole state, `lease` says who may run, `recovery` records a repair, `deletion` takes a
task away and brings it back.
"""
