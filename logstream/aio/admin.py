"""Admin on an event loop: topics, who leads and the state of the cluster.

    async with Admin() as admin:
        await admin.create_topic("orders", partitions=8)

What is asked of whom, and how often, is in client/conversations.py; here it is awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal

from logstream.client.background import aside
from logstream.client.connection import ask_on_loop
from logstream.client.conversations import Ask, Conversation, Conversations, Rest, T, Wish
from logstream.client.finding import find
from logstream.protocol.errors import NoClusterFound
from logstream.protocol.messages import MetadataResponse, TopicMetadata
from logstream.protocol.retention import TopicRetention


class Admin:
    """Asks and changes what is not records. Holds no connection between calls; several may be under way.

    bootstrap    "host:port", several of them, or None to look for the cluster
    timeout_s    for each call; then RequestTimedOut

    The first call looks for the cluster and raises NoClusterFound, with what was tried. Whoever cancels a call
    that changes something does not learn whether it was carried out.
    """

    def __init__(
        self, bootstrap: str | Sequence[str] | None = None, cluster: str = "logstream", timeout_s: float = 10.0
    ) -> None:
        self._seek = partial(find, bootstrap, cluster)
        self._cluster = cluster
        self._talk = Conversations(cluster, timeout_s)

    async def start(self) -> None:
        """Look for the cluster now. Raises NoClusterFound."""
        if not self._talk.brokers:
            self._talk.found(await aside(self._seek, "logstream-admin-seek"))

    async def create_topic(
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
        return await self._hold(self._talk.create_topic(name, partitions, retention))

    async def alter_topic(
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
        return await self._hold(
            self._talk.alter_topic(
                name, retention_bytes=retention_bytes, retention_records=retention_records, retention_s=retention_s
            )
        )

    async def delete_topic(self, name: str) -> None:
        """Remove a topic and its records. Raises UnknownTopic, RequestTimedOut."""
        return await self._hold(self._talk.delete_topic(name))

    async def topics(self) -> list[TopicMetadata]:
        """All topics, by name. Raises RequestTimedOut."""
        return await self._hold(self._talk.topics())

    async def describe(self, name: str) -> TopicMetadata:
        """What a topic keeps; of each partition its broker, first offset, end. Raises UnknownTopic, InvalidTopic."""
        return await self._hold(self._talk.describe(name))

    async def metadata(self, *topics: str) -> MetadataResponse:
        """The cluster and these topics (none: all), as the leader sees them. Raises RequestTimedOut."""
        return await self._hold(self._talk.metadata(topics))

    async def status(self) -> dict[str, Any]:
        """What `logstream status --json` prints, as the first broker that answers sees it. Raises RequestTimedOut."""
        return await self._hold(self._talk.status())

    async def change_leader(self, node_id: str) -> MetadataResponse:
        """Let this member lead; returns when it does. Raises InvalidRequest if it is none, RequestTimedOut."""
        return await self._hold(self._talk.change_leader(node_id))

    async def force_view(self, accept_data_loss: bool) -> MetadataResponse:
        """Let those that answer go on without a quorum; returns when they have a leader.

        What only the missing members held is lost, and clients hear so (DATA_LOST). Raises InvalidRequest where a
        leader is heard, or without the consent; RequestTimedOut.
        """
        return await self._hold(self._talk.force_view(accept_data_loss))

    async def close(self) -> None:
        """Nothing is open between calls; for symmetry."""

    async def __aenter__(self) -> Admin:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _hold(self, conversation: Conversation[T]) -> T:
        """Do what the conversation wants until it is over. Raises what it raises."""
        await self.start()
        result: object = None
        while True:
            try:
                wish = conversation.send(result)
            except StopIteration as end:
                outcome: T = end.value
                return outcome
            result = await self._do(wish)

    async def _do(self, wish: Wish) -> object:
        match wish:
            case Ask(address, message, timeout_s):
                try:
                    return await ask_on_loop(address, self._cluster, message, timeout_s)
                except OSError as error:
                    return error
            case Rest(seconds):
                await asyncio.sleep(seconds)
                return None
        try:
            return await aside(self._seek, "logstream-admin-seek")
        except NoClusterFound:
            return []
