"""Admin: topics, who leads and the state of the cluster, one question at a time.

Every call goes to the leader, which Metadata names, and is repeated elsewhere until `timeout_s` has passed while
brokers are away or say RETRY; when none that is known answers, the cluster is looked for again. A creation whose
answer was lost is recognised when it is repeated.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, overload

from logstream.client.connection import ask
from logstream.client.finding import find
from logstream.protocol.errors import (
    ErrorCode,
    LogStreamError,
    NoClusterFound,
    RequestTimedOut,
    UnknownTopic,
    error_for,
)
from logstream.protocol.messages import (
    AdminResponse,
    ChangeLeader,
    ClientRequest,
    CreateTopic,
    DeleteTopic,
    ForceView,
    InvalidRequestResponse,
    Metadata,
    MetadataResponse,
    StatusRequest,
    StatusResponse,
    TopicMetadata,
    TopicResponse,
)

ANSWER_S = 5.0  # one broker's time for one answer
STATUS_S = 1.0  # the same for its status, which it gives after 0.2 s at the latest
AGAIN_S = 0.05
HAND_OVER_S = 2.0  # before the leader is asked once more to hand over

R = TypeVar("R")


class Admin:
    """Asks and changes what is not records. Holds no connection between calls.

    Raises NoClusterFound, with what was tried.
    """

    def __init__(
        self, bootstrap: str | Sequence[str] | None = None, cluster: str = "logstream", timeout_s: float = 10.0
    ) -> None:
        self._find = partial(find, bootstrap, cluster)
        self._brokers = self._find()  # the one to ask first comes first
        self._passed_over: set[str] = set()  # brokers that could not say, since one could
        self._cluster = cluster
        self._timeout_s = timeout_s

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic. Raises TopicExists, InvalidTopic, RequestTimedOut."""
        answer, repeated = self._at_leader(CreateTopic(name, partitions))
        if answer.error is ErrorCode.TOPIC_EXISTS and repeated and len(self.describe(name).partitions) == partitions:
            return  # the first try made it, its answer was lost
        if answer.error is not ErrorCode.NONE:
            raise error_for(answer.error, answer.text or _sentence(answer.error, name))

    def delete_topic(self, name: str) -> None:
        """Remove a topic and its records. Raises UnknownTopic, RequestTimedOut."""
        answer, repeated = self._at_leader(DeleteTopic(name))
        if answer.error is ErrorCode.UNKNOWN_TOPIC and repeated:
            return
        if answer.error is not ErrorCode.NONE:
            raise error_for(answer.error, answer.text or _sentence(answer.error, name))

    def topics(self) -> list[TopicMetadata]:
        """All topics, by name. Raises RequestTimedOut."""
        return sorted(self.metadata().topics, key=lambda topic: topic.name)

    def describe(self, name: str) -> TopicMetadata:
        """One topic: the broker, the first offset and the end of each partition. Raises UnknownTopic, InvalidTopic."""
        for topic in self.metadata(name).topics:
            if topic.name == name:
                if topic.error is not ErrorCode.NONE:
                    raise error_for(topic.error, _sentence(topic.error, name))
                return topic
        raise UnknownTopic(_sentence(ErrorCode.UNKNOWN_TOPIC, name))

    def metadata(self, *topics: str) -> MetadataResponse:
        """The cluster and these topics (none: all), as the leader sees them. Raises RequestTimedOut."""
        deadline, reason = time.monotonic() + self._timeout_s, ""
        while time.monotonic() < deadline:
            asked = self._brokers[0]
            answer, reason = self._try(asked, Metadata(topics), MetadataResponse, deadline)
            if answer is not None and answer.leader is not None:
                self._passed_over.clear()
                self._learn(answer, asked)
                if answer.leader.address == asked:
                    return answer
                continue
            reason = reason or f"{asked} hears no leader"
            self._next()
        raise self._too_late(reason or "no leader is heard")

    def status(self) -> dict[str, Any]:
        """What `logstream status --json` prints, as the first broker that answers sees it. Raises RequestTimedOut."""
        deadline, reason = time.monotonic() + self._timeout_s, ""
        while time.monotonic() < deadline:
            answer, reason = self._try(
                self._brokers[0], StatusRequest(), StatusResponse, min(deadline, time.monotonic() + STATUS_S)
            )
            if answer is not None:
                self._passed_over.clear()
                found: dict[str, Any] = json.loads(answer.json)
                return found
            self._next()
        raise self._too_late(reason)

    def change_leader(self, node_id: str) -> MetadataResponse:
        """Let this member lead; returns when it does. Raises InvalidRequest if it is none, RequestTimedOut."""
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            answer, _ = self._at_leader(ChangeLeader(node_id))
            if answer.error is not ErrorCode.NONE:
                raise error_for(answer.error, answer.text)
            until = min(time.monotonic() + HAND_OVER_S, deadline)
            while time.monotonic() < until:
                seen = self.metadata()
                if seen.leader is not None and seen.leader.node_id == node_id:
                    return seen
                time.sleep(AGAIN_S)
        raise RequestTimedOut(
            f"{node_id} does not lead after {self._timeout_s:g} s: is it alive? See `logstream status`"
        )

    def force_view(self, accept_data_loss: bool) -> MetadataResponse:
        """Let those that answer go on without a quorum; returns when they have a leader.

        What only the missing members held is lost, and clients hear so (DATA_LOST). Raises InvalidRequest where a
        leader is heard, or without the consent; RequestTimedOut.
        """
        deadline, reason = time.monotonic() + self._timeout_s, ""
        while time.monotonic() < deadline:
            for broker in list(self._brokers):
                answer, said = self._try(broker, ForceView(accept_data_loss), AdminResponse, deadline)
                if answer is not None and answer.error is ErrorCode.NONE:
                    return self.metadata()
                reason = f"{broker}: {answer.text}" if answer is not None else said
                if answer is not None and (not accept_data_loss or self._leads_somebody(broker, deadline)):
                    raise error_for(answer.error, answer.text)
            self._next()
        raise self._too_late(reason)

    def _leads_somebody(self, broker: str, deadline: float) -> bool:
        """Does this broker hear a leader?"""
        answer, _ = self._try(broker, Metadata(()), MetadataResponse, deadline)
        return answer is not None and answer.leader is not None

    def close(self) -> None:
        """Nothing is open between calls; for symmetry."""

    def __enter__(self) -> Admin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- asking ---

    @overload
    def _at_leader(self, message: CreateTopic | DeleteTopic) -> tuple[TopicResponse, bool]: ...

    @overload
    def _at_leader(self, message: ChangeLeader) -> tuple[AdminResponse, bool]: ...

    def _at_leader(
        self, message: CreateTopic | DeleteTopic | ChangeLeader
    ) -> tuple[TopicResponse | AdminResponse, bool]:
        """The leader's answer, and whether an earlier try may have been carried out."""
        kind: type[TopicResponse | AdminResponse] = (
            AdminResponse if isinstance(message, ChangeLeader) else TopicResponse
        )
        deadline, reason, lost = time.monotonic() + self._timeout_s, "", False
        while time.monotonic() < deadline:
            leader = self.metadata().leader
            if leader is None:
                continue
            answer, reason = self._try(leader.address, message, kind, deadline)
            if answer is not None and answer.error not in (ErrorCode.RETRY, ErrorCode.NOT_ASSIGNED):
                return answer, lost
            reason = answer.text if answer is not None else reason
            lost = True
            time.sleep(AGAIN_S)
        raise self._too_late(reason)

    def _try(self, address: str, message: ClientRequest, kind: type[R], deadline: float) -> tuple[R | None, str]:
        """One question to one broker: its answer, or why there is none."""
        try:
            answer = ask(address, self._cluster, message, max(min(ANSWER_S, deadline - time.monotonic()), 0.01))
        except OSError as error:
            return None, f"{address}: {error.strerror or error}"
        if isinstance(answer, InvalidRequestResponse):
            raise error_for(ErrorCode.INVALID_REQUEST, answer.text)
        if not isinstance(answer, kind):
            return None, f"{address} answered with {type(answer).__name__}"
        return answer, ""

    def _learn(self, answer: MetadataResponse, asked: str) -> None:
        """The leader comes first from now on."""
        leader = [answer.leader.address] if answer.leader is not None else []
        known = [broker.address for broker in answer.brokers if broker.address]
        self._brokers = list(dict.fromkeys([*leader, asked, *known, *self._brokers]))

    def _next(self) -> None:
        """The next broker, at once; when all have been asked in vain, rest, and look who else is there."""
        self._passed_over.add(self._brokers[0])
        self._brokers.append(self._brokers.pop(0))
        if not self._passed_over.issuperset(self._brokers):
            return
        time.sleep(AGAIN_S)
        with contextlib.suppress(NoClusterFound):
            self._brokers = list(dict.fromkeys([*self._find(), *self._brokers]))

    def _too_late(self, reason: str) -> LogStreamError:
        return RequestTimedOut(f"no answer from cluster {self._cluster!r} within {self._timeout_s:g} s: {reason}")


def _sentence(code: ErrorCode, name: str) -> str:
    match code:
        case ErrorCode.UNKNOWN_TOPIC:
            return f"there is no topic {name}"
        case ErrorCode.INVALID_TOPIC:
            return f"no broker accepts the topic name {name!r}"
        case ErrorCode.TOPIC_EXISTS:
            return f"there is a topic {name} already"
    return f"topic {name}: {code.name.lower().replace('_', ' ')}"
