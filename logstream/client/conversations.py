"""Conversations: what an Admin says to brokers, one generator for each of its calls.

A conversation yields what it wants done and goes on with the result:

    Ask(broker, message)  -> the answer, or the OSError that there was instead
    Rest(seconds)         -> None
    Seek()                -> addresses of brokers; none if the cluster was not found

So there is one set of rules for programs with threads (admin.py does it with blocking calls) and for those with an
event loop (logstream/aio/admin.py awaits it). Every call goes to the leader, which Metadata names, and is repeated
elsewhere until `timeout_s` has passed while brokers are away or say RETRY; when none that is known answers, the
cluster is looked for again. A creation whose answer was lost is recognised when it is repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from logstream.protocol.errors import (
    ErrorCode,
    InvalidRequest,
    LogStreamError,
    RequestTimedOut,
    UnknownTopic,
    error_for,
)
from logstream.protocol.messages import (
    AdminResponse,
    AlterTopic,
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
from logstream.protocol.retention import DEFAULT, TopicRetention

ANSWER_S = 5.0  # one broker's time for one answer
STATUS_S = 1.0  # the same for its status, which it gives after 0.2 s at the latest
AGAIN_S = 0.05
HAND_OVER_S = 2.0  # before the leader is asked once more to hand over


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this broker."""

    address: str
    message: ClientRequest
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Rest:
    """Do nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Seek:
    """Look for the cluster."""


Limit = int | float | Literal["default"] | None
T = TypeVar("T")
R = TypeVar("R")
Wish = Ask | Rest | Seek
Conversation = Generator[Wish, Any, T]


class Conversations:
    """Knows brokers, the one to ask first in front, and how to talk to them."""

    def __init__(self, cluster: str, timeout_s: float) -> None:
        self.brokers: list[str] = []
        self._passed_over: set[str] = set()  # brokers that could not say, since one could
        self._cluster = cluster
        self._timeout_s = timeout_s

    def found(self, brokers: Sequence[str]) -> None:
        """The cluster was looked for: ask these first."""
        self.brokers = list(dict.fromkeys([*brokers, *self.brokers]))

    # --- topics ---

    def create_topic(self, name: str, partitions: int, retention: TopicRetention) -> Conversation[None]:
        """Make a topic."""
        answer, repeated = yield from self._at_leader(CreateTopic(name, partitions, retention), TopicResponse)
        if answer.error is ErrorCode.TOPIC_EXISTS and repeated:
            there = yield from self.describe(name)
            if (len(there.partitions), there.retention) == (partitions, retention):
                return  # the first try made it, its answer was lost
        if answer.error is not ErrorCode.NONE:
            raise error_for(answer.error, answer.text or _sentence(answer.error, name))

    def alter_topic(self, name: str, **limits: Limit) -> Conversation[None]:
        """Change limits of a topic: to a value, or to be as the cluster says; None leaves one as it is."""
        to_default = tuple(limit for limit, value in limits.items() if value == DEFAULT)
        given: dict[str, Any] = {limit: value for limit, value in limits.items() if limit not in to_default}
        alter = AlterTopic(name, TopicRetention(**given), to_default)
        answer, _ = yield from self._at_leader(alter, TopicResponse)
        if answer.error is not ErrorCode.NONE:
            raise error_for(answer.error, answer.text or _sentence(answer.error, name))

    def delete_topic(self, name: str) -> Conversation[None]:
        """Remove a topic."""
        answer, repeated = yield from self._at_leader(DeleteTopic(name), TopicResponse)
        if answer.error is ErrorCode.UNKNOWN_TOPIC and repeated:
            return
        if answer.error is not ErrorCode.NONE:
            raise error_for(answer.error, answer.text or _sentence(answer.error, name))

    def topics(self) -> Conversation[list[TopicMetadata]]:
        """All topics, by name."""
        seen = yield from self.metadata(())
        return sorted(seen.topics, key=lambda topic: topic.name)

    def describe(self, name: str) -> Conversation[TopicMetadata]:
        """One topic with its partitions, where they start and where they end."""
        deadline, reason = time.monotonic() + self._timeout_s, ""
        while time.monotonic() < deadline:
            seen = yield from self.metadata((name,))
            topic = next((one for one in seen.topics if one.name == name), None)
            if topic is None:
                raise UnknownTopic(_sentence(ErrorCode.UNKNOWN_TOPIC, name))
            if topic.error not in (ErrorCode.NONE, ErrorCode.RETRY):
                raise error_for(topic.error, topic.text or _sentence(topic.error, name))
            if topic.error is ErrorCode.NONE and len(topic.ends) == len(topic.partitions) > 0:
                return topic
            reason = topic.text or f"the leader does not know yet where topic {name} ends"
            yield Rest(AGAIN_S)
        raise self._too_late(reason)

    # --- the cluster ---

    def metadata(self, topics: tuple[str, ...]) -> Conversation[MetadataResponse]:
        """The cluster and these topics, as the leader sees them."""
        deadline, reason = time.monotonic() + self._timeout_s, ""
        while time.monotonic() < deadline:
            asked = self.brokers[0]
            answer, reason = yield from self._try(asked, Metadata(topics), MetadataResponse, deadline)
            if answer is not None and answer.leader is not None:
                self._passed_over.clear()
                self._learn(answer, asked)
                if answer.leader.address == asked:
                    return answer
                continue
            reason = reason or f"{asked} hears no leader"
            yield from self._next(asked)
        raise self._too_late(reason or "no leader is heard")

    def status(self) -> Conversation[dict[str, Any]]:
        """What the first broker that answers says."""
        deadline, reason = time.monotonic() + self._timeout_s, ""
        while time.monotonic() < deadline:
            asked, until = self.brokers[0], min(deadline, time.monotonic() + STATUS_S)
            answer, reason = yield from self._try(asked, StatusRequest(), StatusResponse, until)
            if answer is not None:
                self._passed_over.clear()
                found: dict[str, Any] = json.loads(answer.json)
                return found
            yield from self._next(asked)
        raise self._too_late(reason)

    def change_leader(self, node_id: str) -> Conversation[MetadataResponse]:
        """Let this member lead; ends when it does."""
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            answer, _ = yield from self._at_leader(ChangeLeader(node_id), AdminResponse)
            if answer.error is not ErrorCode.NONE:
                raise error_for(answer.error, answer.text)
            until = min(time.monotonic() + HAND_OVER_S, deadline)
            while time.monotonic() < until:
                seen = yield from self.metadata(())
                if seen.leader is not None and seen.leader.node_id == node_id:
                    return seen
                yield Rest(AGAIN_S)
        raise RequestTimedOut(f"{node_id} does not lead after {self._timeout_s:g} s: is it alive?")

    def force_view(self, accept_data_loss: bool) -> Conversation[MetadataResponse]:
        """Let those that answer go on without a quorum; ends when they have a leader."""
        deadline, reason = time.monotonic() + self._timeout_s, ""
        while time.monotonic() < deadline:
            for broker in list(self.brokers):
                answer, said = yield from self._try(broker, ForceView(accept_data_loss), AdminResponse, deadline)
                if answer is not None and answer.error is ErrorCode.NONE:
                    return (yield from self.metadata(()))
                reason = f"{broker}: {answer.text}" if answer is not None else said
                if answer is not None:
                    led = accept_data_loss and (yield from self._leads_somebody(broker, deadline))
                    if led or not accept_data_loss:
                        raise error_for(answer.error, answer.text)
            yield from self._next(self.brokers[0])
        raise self._too_late(reason)

    def _leads_somebody(self, broker: str, deadline: float) -> Conversation[bool]:
        """Does this broker hear a leader?"""
        answer, _ = yield from self._try(broker, Metadata(()), MetadataResponse, deadline)
        return answer is not None and answer.leader is not None

    # --- asking ---

    def _at_leader(self, message: ClientRequest, kind: type[R]) -> Conversation[tuple[R, bool]]:
        """The leader's answer, and whether an earlier try may have been carried out."""
        deadline, reason, lost = time.monotonic() + self._timeout_s, "", False
        while time.monotonic() < deadline:
            seen = yield from self.metadata(())
            if seen.leader is None:
                continue
            answer, reason = yield from self._try(seen.leader.address, message, kind, deadline)
            if answer is not None:
                error = getattr(answer, "error", ErrorCode.NONE)
                if error not in (ErrorCode.RETRY, ErrorCode.NOT_ASSIGNED):
                    return answer, lost
                reason = getattr(answer, "text", "")
            lost = True
            yield Rest(AGAIN_S)
        raise self._too_late(reason)

    def _try(
        self, address: str, message: ClientRequest, kind: type[R], deadline: float
    ) -> Conversation[tuple[R | None, str]]:
        """One question to one broker: its answer, or why there is none."""
        answer = yield Ask(address, message, max(min(ANSWER_S, deadline - time.monotonic()), 0.01))
        if isinstance(answer, OSError):
            return None, f"{address}: {answer.strerror or answer}"
        if isinstance(answer, InvalidRequestResponse):
            raise InvalidRequest(answer.text)
        if not isinstance(answer, kind):
            return None, f"{address} answered with {type(answer).__name__}"
        return answer, ""

    def _learn(self, answer: MetadataResponse, asked: str) -> None:
        """The leader comes first from now on."""
        leader = [answer.leader.address] if answer.leader is not None else []
        known = [broker.address for broker in answer.brokers if broker.address]
        self.brokers = list(dict.fromkeys([*leader, asked, *known, *self.brokers]))

    def _next(self, asked: str) -> Conversation[None]:
        """The next broker, at once; when all have been asked in vain, rest, and look who else is there."""
        self._passed_over.add(asked)
        self.brokers = [*(broker for broker in self.brokers if broker != asked), asked]
        if not self._passed_over.issuperset(self.brokers):
            return
        yield Rest(AGAIN_S)
        self.found((yield Seek()))

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
