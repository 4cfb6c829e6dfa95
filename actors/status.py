"""What `status` says: one JSON object made from what every actor reported.

docs/status.md describes it; the keys are stable. Nothing here is kept: each answer is made from one
round of reports.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from actors.mesh import Seat
from logstream.protocol.identity import Member, View

Facts = dict[str, dict[str, Any]]  # by actor


def status_object(
    me: Member, cluster: str, facts: Facts, silent: list[str], longest_turn: tuple[float, str]
) -> dict[str, Any]:
    """The object that `status --json` prints."""
    replica = facts.get(Seat.REPLICA, {})
    view: View | None = replica.get("view")
    return {
        "cluster": cluster,
        "cluster_id": view.cluster_id if view else "",
        "node_id": me.node_id,
        "address": me.address,
        "state": state_in_words(facts),
        "view": view.epoch.n if view else 0,
        "epoch": str(view.epoch) if view else "none",
        "leader": view.leader.node_id if view else None,
        "members": _members(view, facts),
        "no_quorum": no_quorum_in_words(facts),
        "waiting": replica.get("waiting"),
        "commit": replica.get("commit", 0),
        "last": replica.get("last", 0),
        "commit_rule": view.commit if view else None,
        "topics": _topics(facts),
        "log_bytes": replica.get("bytes", 0),
        "quarantined": replica.get("quarantined", 0),
        "refused": _refused(facts),
        "loop_turn_max_ms": round(longest_turn[0] * 1000, 3),
        "loop_turn_max_of": longest_turn[1],
        "no_answer": silent,
        "actors": {name: {key: said for key, said in fact.items() if key != "view"} for name, fact in facts.items()},
    }


def state_in_words(facts: Facts) -> str:
    """What this node is doing, for a person."""
    replica, detector = facts.get(Seat.REPLICA, {}), facts.get(Seat.FAILURE_DETECTOR, {})
    if _missing(facts):
        return "no quorum"
    if not replica.get("active"):
        if facts.get(Seat.VIEW_MANAGER, {}).get("attempt"):
            return "changing the view"
        return str(facts.get(Seat.DISCOVERY, {}).get("phase", "starting")) if not replica.get("view") else "frozen"
    if replica.get("leads"):
        return "leading"
    return "following" if detector.get("leader_heard") else "without a leader"


def no_quorum_in_words(facts: Facts) -> str | None:
    """Who is missing and what helps, where too few members answer to choose a leader; None otherwise."""
    missing = _missing(facts)
    if not missing:
        return None
    names = f"{', '.join(missing[:-1])} and {missing[-1]}" if len(missing) > 1 else missing[0]
    verb = "does" if len(missing) == 1 else "do"
    return (
        f"no quorum: {names} {verb} not answer; nothing is acknowledged until enough members answer again, and one "
        "that was restarted does not count, because its memory is empty; what helps if they are gone for good: "
        "logstream force-view --accept-data-loss, which goes on with what is left"
    )


def _missing(facts: Facts) -> list[str]:
    """Without whom the last probe or attempt was not enough, as long as there is no leader."""
    elector, change = facts.get(Seat.ELECTOR, {}), facts.get(Seat.VIEW_MANAGER, {})
    if not elector.get("leaderless"):
        return []
    return list(elector.get("missing") or change.get("missing") or ())


def _members(view: View | None, facts: Facts) -> list[dict[str, Any]]:
    if view is None:
        return []
    replica = facts.get(Seat.REPLICA, {})
    peers = facts.get(Seat.FAILURE_DETECTOR, {}).get("peers", {})
    return [
        {
            "node_id": member.node_id,
            "address": member.address,
            "role": "leader" if member == view.leader else "follower",
            "served_by": _served_by(member, view, replica),
            "phi": peers.get(member.node_id, {}).get("phi"),
            "silent_s": peers.get(member.node_id, {}).get("silent_s"),
        }
        for member in view.members
    ]


def _served_by(member: Member, view: View, replica: dict[str, Any]) -> str | None:
    """How the leader reaches this member; only the leader knows."""
    if not replica.get("leads") or member == view.leader:
        return None
    return "tcp" if member.node_id in replica.get("by_tcp", []) else "multicast"


def _topics(facts: Facts) -> list[dict[str, Any]]:
    assigned = facts.get(Seat.CLIENT_GATEWAY, {}).get("assigned", {})
    topics = facts.get(Seat.TOPICS, {}).get("topics", [])
    return [
        {
            "name": topic["topic"],
            "topic_id": topic["topic_id"],
            "partitions": [
                {
                    "partition": number,
                    "assigned": assigned.get(f"{topic['topic']}/{number}"),
                    "start": facts.get(f"topic_log/{topic['topic_id']}/{number}", {}).get("start"),
                    "end": facts.get(f"topic_log/{topic['topic_id']}/{number}", {}).get("end"),
                }
                for number in range(topic["partitions"])
            ],
        }
        for topic in sorted(topics, key=lambda topic: str(topic["topic"]))
    ]


def _refused(facts: Facts) -> dict[str, int]:
    """Messages that were counted and dropped, by reason, over all actors."""
    total: Counter[str] = Counter()
    for fact in facts.values():
        refused = fact.get("refused", 0)
        total.update(refused if isinstance(refused, dict) else {"a rule of the protocol was broken": refused})
    return {reason: count for reason, count in sorted(total.items()) if count}
