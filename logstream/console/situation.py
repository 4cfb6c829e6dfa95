"""Situation: what state a cluster is in, in one sentence, made from the object that `status --json` prints.

The worst comes first: what stops records altogether, then what holds them up for now, then what could.
"""

from __future__ import annotations

from typing import Any

SUSPECT = 8.0  # phi; what it means is docs/failure-detection.md

_HELD_UP = {
    "changing the view": "the view is being changed: records wait, for some tenths of a second as a rule",
    "frozen": "the members are agreeing on a view: records wait, for some tenths of a second as a rule",
}


def situation(status: dict[str, Any]) -> str:
    """The sentence."""
    state, leader = status["state"], status["leader"]
    if status["no_quorum"]:
        return str(status["no_quorum"])
    if not status["view"]:
        return f"no view yet: {status['node_id']} is {state}"
    if state in _HELD_UP:
        return _HELD_UP[state]
    if state == "without a leader":
        return f"{leader}, the leader, is not heard: the others choose a new one, records wait"
    if status["waiting"]:
        return f"no records are taken yet: {status['waiting']}"
    return _serving(status)


def _serving(status: dict[str, Any]) -> str:
    members = status["members"]
    silent = [member for member in members if (member["phi"] or 0.0) >= SUSPECT]
    if silent:
        words = ", ".join(f"{member['node_id']} (for {member['silent_s']:.1f} s)" for member in silent)
        return f"serving, but silent: {words}; who stays so is left out of the view"
    if len(members) == 1:
        return "serving with one member: every record is on one node only"
    if status["state"] == "leading":
        return f"serving: all {len(members)} members are heard"
    return f"serving: {status['leader']} leads {len(members)} members and is heard"
