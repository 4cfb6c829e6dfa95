"""LIST_OFFSETS: where do partitions reach a time?

    every partition's log is asked at once -> an answer when all have said

Any broker answers, whoever is assigned: one that is behind the leader names the end of what it has, and the first
record of that time or later comes behind that. So an offset that is said here is never too high. That it is exact
to the record is the client's part, because brokers do not look into batches.

Elsewhere: the search (core.topic_log), reading from there on (fetching).
"""

from __future__ import annotations

from logstream.core.effects import Announce, Effect
from logstream.core.gateway.answers import Answers
from logstream.core.gateway.catalog import Catalog
from logstream.core.gateway.requests import UNHEARD_OF_S, Requests
from logstream.core.gateway.sessions import Asker
from logstream.core.gateway.standing import Standing
from logstream.core.topic_log import Locate, Located, ReadId
from logstream.protocol import messages as wire


class Locating:
    """The questions about times that one broker has under way."""

    def __init__(self, standing: Standing, catalog: Catalog, answers: Answers, requests: Requests) -> None:
        self._standing, self._catalog, self._answers, self._requests = standing, catalog, answers, requests
        self._waiting: dict[int, set[ReadId]] = {}  # request -> logs that have not said
        self._found: dict[int, dict[int, int]] = {}  # request -> place in it -> offset

    def list_offsets(self, asker: Asker, asked: wire.ListOffsets, since: float) -> list[Effect]:
        """Ask the logs, or hold the request."""
        if not self._standing.ready:
            return self._requests.hold_until_ready(asker, asked, since)
        known = {place: one for place, one in enumerate(asked.partitions) if self._knows(one)}
        behind = not self._standing.leads and self._requests.now - since < UNHEARD_OF_S
        if behind and len(known) < len(asked.partitions):
            return self._requests.hold_unknown(asker, asked, since)
        if not known:
            return self._requests.answer(asker, self._answers.located(asked, {}))
        request = self._requests.ask(asker, asked)
        self._found[request], self._waiting[request] = {}, {(request, place) for place in known}
        asks = [
            Announce(Locate((request, place), one.topic_id, one.partition, one.timestamp_ms))
            for place, one in known.items()
        ]
        return [*asks, *self._requests.look_later()]

    def _knows(self, one: wire.OffsetAt) -> bool:
        topic = self._catalog.topic(one.topic, one.topic_id)
        return topic is not None and one.partition < topic.partitions

    def located(self, located: Located) -> list[Effect]:
        """A log has searched."""
        request, place = located.read
        waiting = self._waiting.get(request)
        if waiting is None:
            return []
        waiting.discard(located.read)
        self._found[request][place] = located.offset
        if waiting:
            return []
        found, pending = self._found[request], self._requests.take(request)
        self.forget(request)
        if pending is None or not isinstance(pending.message, wire.ListOffsets):
            return []
        return self._requests.answer(pending.asker, self._answers.located(pending.message, found))

    def forget(self, request: int) -> None:
        """The request is answered."""
        self._waiting.pop(request, None)
        self._found.pop(request, None)
