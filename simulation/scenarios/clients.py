"""What clients do. Values are words; the topic is t unless said otherwise.

topic u 3              create a topic with so many partitions
alter t retention_records 2   change what a topic keeps (`default`: as the cluster says); wait for the answer
delete t               delete a topic; wait for the answer
produce a b c          p sends these as one batch; wait until they are acknowledged, and all know that
send a b c             the same without waiting
... by q, ... to u, ... via n1       another producer, another topic, the only broker that it knows at first
... keyed              each value is its own key, and a batch of its own
answers                what each producer was told of what it sent, and besides, after waiting for it
told                   the same without waiting
read, read via n1      a new consumer reads from the start to the end: what, and how it ended
follow                 a consumer reads along from now on; it is judged in the end
followers              what each of these has read until now, and whether it could go on
"""

from __future__ import annotations

from typing import Any

from logstream.core.consumer import ConsumerSettings
from logstream.protocol.errors import LogStreamError
from logstream.protocol.messages import AlterTopic, ClientRequest, CreateTopic, DeleteTopic, TopicResponse
from logstream.protocol.retention import DEFAULT, TopicRetention
from simulation.pretended.clients import PretendConsumer, PretendProducer
from simulation.scenarios.scenario import Command, Scenario
from simulation.scenarios.watched import WatchedConsumer, WatchedProducer

TOPIC = "t"
READ_S = 5.0
SPREAD_S = 0.3  # until all members know what is committed
ANSWER_S = 0.5
OPTIONS = ("by", "to", "via")


def _options(words: list[str]) -> tuple[list[str], dict[str, str]]:
    values, options = list(words), {}
    for option in OPTIONS:
        if option in values:
            at = values.index(option)
            options[option] = values[at + 1]
            del values[at : at + 2]
    return values, options


def _topic(scenario: Scenario, words: list[str]) -> list[str]:
    name, partitions = words
    _ask_leader(scenario, CreateTopic(name, int(partitions)))
    return []


def _alter(scenario: Scenario, words: list[str]) -> list[str]:
    name, limit, value = words
    to_default = (limit,) if value == DEFAULT else ()
    given: dict[str, Any] = {} if to_default else {limit: int(value)}
    return [_outcome("altered", _ask_leader(scenario, AlterTopic(name, TopicRetention(**given), to_default)))]


def _delete(scenario: Scenario, words: list[str]) -> list[str]:
    (name,) = words
    return [_outcome("deleted", _ask_leader(scenario, DeleteTopic(name)))]


def _outcome(done: str, answers: list[TopicResponse]) -> str:
    said = answers[0].error.name.lower().replace("_", " ") if answers else "waiting"
    return done if said == "none" else said


def _ask_leader(scenario: Scenario, request: ClientRequest) -> list[TopicResponse]:
    """What the leader has answered after a while."""
    answers: list[Any] = []
    address = scenario.cluster.address(scenario.cluster.leader())
    connection = scenario.cluster.network.connect(address, lambda _, answer: answers.append(answer))
    assert connection is not None, "the leader listens"
    connection.ask(1, request)
    scenario.wait(lambda: bool(answers), ANSWER_S)
    return answers


def _send(scenario: Scenario, words: list[str]) -> list[str]:
    values, options = _options(words)
    keyed = "keyed" in values
    name, topic = options.get("by", "p"), options.get("to", TOPIC)
    producer = _producer(scenario, name, options.get("via"))
    records = [value.encode() for value in values if value != "keyed"]
    producer.topics |= dict.fromkeys(records, topic)
    scenario.sent.setdefault(name, []).extend(records)
    for batch in [[record] for record in records] if keyed else [records]:
        producer.send(topic, batch, key=batch[0] if keyed else None)
    return []


def _producer(scenario: Scenario, name: str, via: str | None) -> WatchedProducer:
    if name not in scenario.producers:
        cluster = scenario.cluster
        known = [cluster.address(via)] if via else cluster.addresses()
        producer = scenario.producers[name] = WatchedProducer(cluster.loop, cluster.network, known, address=name)
        producer.judge, producer.topics, producer.warnings = scenario.judge, {}, []
    return scenario.producers[name]


def _produce(scenario: Scenario, words: list[str]) -> list[str]:
    _send(scenario, words)
    name = _options(words)[1].get("by", "p")
    values = scenario.sent[name][-len([word for word in _options(words)[0] if word != "keyed"]) :]
    producer = scenario.producers[name]
    scenario.wait(lambda: all(value in producer.acknowledged or value in producer.failed for value in values))
    scenario.cluster.loop.run_for(SPREAD_S)
    return [_told(producer, values)]


def _answers(scenario: Scenario, words: list[str]) -> list[str]:
    scenario.wait(lambda: not any("waiting" in line for line in _tell(scenario, words)))
    return _tell(scenario, words)


def _tell(scenario: Scenario, words: list[str]) -> list[str]:
    return [
        ", ".join([f"{name}: {_told(scenario.producers[name], sent)}", *map(_kind, scenario.producers[name].warnings)])
        for name, sent in sorted(scenario.sent.items())
    ]


def _kind(error: LogStreamError) -> str:
    """Without its text, which has the cluster's id in it."""
    return type(error).__name__


def _told(producer: PretendProducer, values: list[bytes]) -> str:
    """Each value with what became of it."""
    told: dict[str, list[str]] = {"acknowledged": [], "failed": [], "waiting": []}
    for value in values:
        if value in producer.acknowledged:
            told["acknowledged"].append(f"{value.decode()}@{_where(producer, value)}")
        elif value in producer.failed:
            told["failed"].append(f"{value.decode()} ({_kind(producer.failed[value])})")
        else:
            told["waiting"].append(value.decode())
    return ", ".join(f"{what} {' '.join(which)}" for what, which in told.items() if which)


def _where(producer: PretendProducer, value: bytes) -> str:
    partition, offset = producer.acknowledged[value]
    return f"{partition}/{offset}" if partition else str(offset)


def _read(scenario: Scenario, words: list[str]) -> list[str]:
    """read [TOPIC] [via NAME]"""
    rest, options = _options(words)
    consumer = _consumer(scenario, rest[0] if rest else TOPIC, options.get("via"), follow=False)
    scenario.wait(lambda: consumer.ended or consumer.error is not None, READ_S)
    ending = "" if consumer.ended else f", then {consumer.error}" if consumer.error else ", then nothing more"
    return [f"{_rows(consumer)}{ending}"]


def _rows(consumer: PretendConsumer) -> str:
    rows = [value.decode() for _, rows in sorted(consumer.records.items()) for _, value in rows]
    return " ".join(rows) or "nothing"


def _follow(scenario: Scenario, words: list[str]) -> list[str]:
    rest, options = _options(words)
    scenario.followers.append(_consumer(scenario, rest[0] if rest else TOPIC, options.get("via"), follow=True))
    return []


def _followers(scenario: Scenario, words: list[str]) -> list[str]:
    return [
        f"{follower.address}: {_rows(follower)}" + (f", then {_kind(follower.error)}" if follower.error else "")
        for follower in scenario.followers
    ]


def _consumer(scenario: Scenario, topic: str, via: str | None, follow: bool) -> WatchedConsumer:
    cluster = scenario.cluster
    known = [cluster.address(via)] if via else cluster.addresses()
    settings = ConsumerSettings(topics=(topic,), start="start", follow=follow, wait=follow)
    scenario.readers += 1
    consumer = WatchedConsumer(cluster.loop, cluster.network, known, settings, f"reader-{scenario.readers}")
    consumer.judge, consumer.topic = scenario.judge, topic
    consumer.open()
    return consumer


COMMANDS: dict[str, Command] = {
    "topic": _topic,
    "alter": _alter,
    "delete": _delete,
    "produce": _produce,
    "send": _send,
    "answers": _answers,
    "told": _tell,
    "read": _read,
    "follow": _follow,
    "followers": _followers,
}
