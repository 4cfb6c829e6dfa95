"""`election` and `force-view`: what the rules leave to a person.

`election` moves leadership without losing anything. `force-view` puts the operator's word in the place of
a quorum: what only the missing members held is lost, so it is asked for twice, by an option and by a
question (without a terminal, by a second option).
"""

from __future__ import annotations

import json
import sys

from logstream.console.connection import admin
from logstream.console.failure import USAGE, Failure
from logstream.settings import Settings


def elect(settings: Settings, name: str, as_json: bool) -> int:
    """Let this member lead, and return when it does. Raises LogStreamError."""
    with admin(settings) as asking:
        view = asking.change_leader(name).view
    print(json.dumps({"leader": name, "view": view}) if as_json else f"{name} leads view {view}")
    return 0


def force_view(settings: Settings, accept_data_loss: bool, yes: bool, as_json: bool) -> int:
    """Let those that answer go on without a quorum. Raises Failure, LogStreamError."""
    if not accept_data_loss:
        text = "force-view may lose acknowledged records, repeat it with --accept-data-loss if that is accepted"
        raise Failure(text, USAGE)
    if not yes and not sys.stdin.isatty():
        raise Failure("force-view asks before it acts and there is no terminal to ask, add --yes", USAGE)
    with admin(settings) as asking:
        if not yes and not _agreed(str(asking.status().get("no_quorum") or "")):
            raise Failure("nothing was changed")
        forced = asking.force_view(accept_data_loss=True)
    members = [broker.node_id for broker in forced.brokers]
    leader = forced.leader.node_id if forced.leader else None
    if as_json:
        print(json.dumps({"leader": leader, "view": forced.view, "members": members}))
    else:
        print(f"{leader} leads view {forced.view} of {', '.join(members)}")
    return 0


def _agreed(trouble: str) -> bool:
    """Ask the person at the terminal."""
    if trouble:
        print(trouble, file=sys.stderr)
    question = "Acknowledged records that only the missing members hold will be lost. Go on? Type yes: "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "yes"
