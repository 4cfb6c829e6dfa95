"""Admin: topics, who leads and the state of the cluster, one question at a time.

    with Admin() as admin:
        admin.create_topic("orders", partitions=8)

What is asked of whom, and how often, is in conversations.py; here it is done with blocking calls.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal

from logstream.client.connection import ask
from logstream.client.conversations import Ask, Conversation, Conversations, Rest, T, Wish
from logstream.client.finding import find
from logstream.protocol.errors import NoClusterFound
from logstream.protocol.messages import MetadataResponse, TopicMetadata
from logstream.protocol.retention import TopicRetention


class Admin:
    """Asks and changes what is not records. Holds no connection between calls.

    bootstrap    "host:port", several of them, or None to look for the cluster
    timeout_s    for each call; then RequestTimedOut

    Raises NoClusterFound, with what was tried.
    """

    def __init__(
        self, bootstrap: str | Sequence[str] | None = None, cluster: str = "logstream", timeout_s: float = 10.0
    ) -> None:
        self._seek = partial(find, bootstrap, cluster)
        self._cluster = cluster
        self._talk = Conversations(cluster, timeout_s)
        self._talk.found(self._seek())

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        *,
        retention_bytes: int | None = None,
        retention_records: int | None = None,
        retention_s: float | None = None,
    ) -> None:
        """Make a topic. What each partition keeps is as the cluster's settings of these names say, unless given; 0 is
        no limit. Raises TopicExists, InvalidTopic, InvalidRequest for a limit that cannot be, RequestTimedOut.
        """
        retention = TopicRetention(retention_bytes, retention_records, retention_s)
        return self._hold(self._talk.create_topic(name, partitions, retention))

    def alter_topic(
        self,
        name: str,
        *,
        retention_bytes: int | Literal["default"] | None = None,
        retention_records: int | Literal["default"] | None = None,
        retention_s: float | Literal["default"] | None = None,
    ) -> None:
        """Change what each partition of a topic keeps; "default": as the cluster says. What is not given stays.

        Raises UnknownTopic, InvalidRequest where nothing is given or a limit cannot be, RequestTimedOut.
        """
        return self._hold(
            self._talk.alter_topic(
                name, retention_bytes=retention_bytes, retention_records=retention_records, retention_s=retention_s
            )
        )

    def delete_topic(self, name: str) -> None:
        """Remove a topic and its records. Raises UnknownTopic, RequestTimedOut."""
        return self._hold(self._talk.delete_topic(name))

    def topics(self) -> list[TopicMetadata]:
        """All topics, by name. Raises RequestTimedOut."""
        return self._hold(self._talk.topics())

    def describe(self, name: str) -> TopicMetadata:
        """What a topic keeps; of each partition its broker, first offset, end. Raises UnknownTopic, InvalidTopic."""
        return self._hold(self._talk.describe(name))

    def metadata(self, *topics: str) -> MetadataResponse:
        """The cluster and these topics (none: all), as the leader sees them. Raises RequestTimedOut."""
        return self._hold(self._talk.metadata(topics))

    def status(self) -> dict[str, Any]:
        """What `logstream status --json` prints, as the first broker that answers sees it. Raises RequestTimedOut."""
        return self._hold(self._talk.status())

    def change_leader(self, node_id: str) -> MetadataResponse:
        """Let this member lead; returns when it does. Raises InvalidRequest if it is none, RequestTimedOut."""
        return self._hold(self._talk.change_leader(node_id))

    def force_view(self, accept_data_loss: bool) -> MetadataResponse:
        """Let those that answer go on without a quorum; returns when they have a leader.

        What only the missing members held is lost, and clients hear so (DATA_LOST). Raises InvalidRequest where a
        leader is heard, or without the consent; RequestTimedOut.
        """
        return self._hold(self._talk.force_view(accept_data_loss))

    def close(self) -> None:
        """Nothing is open between calls; for symmetry."""

    def __enter__(self) -> Admin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _hold(self, conversation: Conversation[T]) -> T:
        """Do what the conversation wants until it is over. Raises what it raises."""
        result: object = None
        while True:
            try:
                wish = conversation.send(result)
            except StopIteration as end:
                outcome: T = end.value
                return outcome
            result = self._do(wish)

    def _do(self, wish: Wish) -> object:
        match wish:
            case Ask(address, message, timeout_s):
                try:
                    return ask(address, self._cluster, message, timeout_s)
                except OSError as error:
                    return error
            case Rest(seconds):
                time.sleep(seconds)
                return None
        try:
            return self._seek()
        except NoClusterFound:
            return []
