"""`netdiag`: interfaces, the choice among them and the live test, for people or as JSON (docs/deployment.md).

What is found out is `transport/diagnosis.py`; here it is only said.
"""

from __future__ import annotations

import json
from typing import Any

from logstream.console.failure import FAILED
from logstream.console.table import facts, table


def show_diagnosis(found: dict[str, Any], as_json: bool) -> int:
    """Print what was found; returns 0 if everything works that was tried, else 1."""
    print(json.dumps(found, indent=2) if as_json else as_text(found))
    return 0 if found["ok"] else FAILED


def as_text(found: dict[str, Any]) -> str:
    """The interfaces, then what was tried on the chosen one, then the nodes that were heard of."""
    parts = [_interfaces(found), facts(_tried(found))]
    if found["nodes"]:
        parts.append(_nodes(found["nodes"]))
    return "\n\n".join(parts)


def _interfaces(found: dict[str, Any]) -> str:
    rows = [
        (
            ("* " if one["chosen"] else "  ") + one["name"],
            one["address"],
            one["netmask"],
            one["broadcast"],
            "yes" if one["multicast"] else "no",
            one["mtu"],
            one["why"],
        )
        for one in found["interfaces"]
    ]
    heading = ("  INTERFACE", "ADDRESS", "NETMASK", "BROADCAST", "MULTICAST", "MTU", "JUDGEMENT")
    without = found["without_address"]
    return table(heading, rows) + (f"\n\nwithout an IPv4 address: {', '.join(without)}" if without else "")


def _tried(found: dict[str, Any]) -> list[tuple[str, object]]:
    chosen, broadcast, multicast = found["chosen"], found["broadcast"], found["multicast"]
    return [
        ("chosen", f"{chosen['name']}, {chosen['address']} (by {chosen['by']}): {chosen['why']}"),
        ("broadcast", _outcome(broadcast, "nodes do not find each other")),
        ("multicast", _multicast(multicast)),
        ("nodes", _answering(found)),
    ]


def _outcome(test: dict[str, Any], consequence: str) -> str:
    if test["problem"]:
        return f"FAILS: {test['problem']}; {consequence}"
    return f"works, to {test['to']}"


def _multicast(test: dict[str, Any]) -> str:
    if not test["on"]:
        return "off (setting multicast); this node is served by TCP"
    return _outcome(test, "the fallback is in use: this node is served by TCP, complete but slower")


def _answering(found: dict[str, Any]) -> str:
    """How many of the cluster's nodes answer a broadcast from here."""
    answering = sum(node["answers"] for node in found["nodes"])
    if not answering:
        return f"none of cluster {found['cluster']} answers a broadcast from here"
    leaders = sorted({node["leader"] for node in found["nodes"] if node["leader"]})
    led = f"led by {leaders[0]}" if len(leaders) == 1 else "they follow " + (" and ".join(leaders) or "nobody")
    return f"{answering} of cluster {found['cluster']} answer, {led}"


def _nodes(nodes: list[dict[str, Any]]) -> str:
    rows = [
        (
            node["node_id"],
            node["address"],
            "answers" if node["answers"] else "SILENT",
            f"FAILS: {node['problem']}" if node["problem"] else "works",
        )
        for node in nodes
    ]
    return table(("NODE", "ADDRESS", "BROADCAST", "TCP"), rows)
