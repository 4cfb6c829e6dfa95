"""`status`: how the cluster is, in words, and then in figures; for people or as the JSON object of docs/status.md.

It is one broker's view, the leader's if no other was named, because the leader watches all the others. How
many records come in a second is the difference of two looks. With --watch it looks again every second.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from logstream.console.connection import admin
from logstream.console.situation import situation
from logstream.console.status_text import as_text
from logstream.console.streams import width
from logstream.protocol.errors import LogStreamError
from logstream.settings import Settings

if TYPE_CHECKING:
    from logstream.client import Admin

RATES_S = 0.5  # between two looks
WATCH_S = 1.0
LEADER_S = 0.5  # for the leader's answer, then the first one has to do
Ends = dict[tuple[str, int], list[int]]  # by name and topic id: where each partition ends
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def show_status(settings: Settings, as_json: bool) -> int:
    """Print the status. Raises LogStreamError."""
    with admin(settings) as asking:
        look = Look(settings, asking)
        status = look()
        if status["topics"]:
            time.sleep(RATES_S)
            status = look()
    print(json.dumps(status, indent=2) if as_json else as_text(status, width()))
    return 0


def watch_status(settings: Settings, as_json: bool) -> int:
    """Print the status every second until Ctrl-C: in place on a terminal, one after the other elsewhere.

    A cluster that does not answer is waited for. Raises LogStreamError if it cannot be found at the start.
    """
    with admin(settings) as asking, contextlib.suppress(KeyboardInterrupt):
        look = Look(settings, asking)
        while True:
            try:
                status = look()
                text = json.dumps(status) if as_json else as_text(status, width())
            except LogStreamError as error:
                text = json.dumps({"error": str(error)}) if as_json else str(error)
            _show(text, in_place=not as_json and sys.stdout.isatty(), apart=not as_json)
            time.sleep(WATCH_S)
    return 0


def _show(text: str, in_place: bool, apart: bool) -> None:
    if in_place:
        from shutil import get_terminal_size

        lines = text.splitlines()[: get_terminal_size().lines - 1]
        print(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_BELOW, end="", flush=True)
    else:
        print(text + "\n" * apart, flush=True)


class Look:
    """One look after the other at one cluster; each knows what changed since the one before."""

    def __init__(self, settings: Settings, asking: Admin) -> None:
        self._settings = settings
        self._asking = asking
        self._before: tuple[float, Ends] | None = None

    def __call__(self) -> dict[str, Any]:
        """The status, with what the command adds to it. Raises LogStreamError."""
        status = self._of_leader(self._asking.status())
        at, ends = time.monotonic(), _ends(status)
        status["situation"] = situation(status)
        status["rates"] = rates(self._before, (at, ends))
        self._before = at, ends
        return status

    def _of_leader(self, status: dict[str, Any]) -> dict[str, Any]:
        """What the leader says, if it answers and nobody asked for another broker's view."""
        leader = next((member for member in status["members"] if member["role"] == "leader"), None)
        if self._settings.client.bootstrap or leader is None or leader["node_id"] == status["node_id"]:
            return status
        from logstream.client import Admin

        with contextlib.suppress(LogStreamError), Admin(leader["address"], status["cluster"], LEADER_S) as asking:
            said = asking.status()
            if said["view"] >= status["view"]:
                return said
        return status


def _ends(status: dict[str, Any]) -> Ends:
    return {
        (topic["name"], topic["topic_id"]): [partition["end"] or 0 for partition in topic["partitions"]]
        for topic in status["topics"]
    }


def rates(before: tuple[float, Ends] | None, now: tuple[float, Ends]) -> dict[str, Any] | None:
    """Records a second that were committed between two looks, in all and by topic and partition.

    None without an earlier look. A look is a time in seconds and what was seen then.
    """
    if before is None:
        return None
    seconds = max(now[0] - before[0], 1e-3)
    topics = {}
    for (name, topic_id), ends in now[1].items():
        earlier = before[1].get((name, topic_id), [0] * len(ends))
        topics[name] = [round(max(end - was, 0) / seconds, 1) for end, was in zip(ends, earlier, strict=False)]
    total = round(sum(sum(partitions) for partitions in topics.values()), 1)
    return {"seconds": round(seconds, 3), "records_per_s": total, "by_topic": topics}
