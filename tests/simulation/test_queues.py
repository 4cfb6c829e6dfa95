"""I19: a queue of a node that is beyond its bound is seen in its owner's turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from logstream.core.effects import Reply
from logstream.core.events import Session
from logstream.core.gateway.holding import Holding
from logstream.core.gateway.sessions import Sessions
from logstream.core.replica.dedup import Dedup
from logstream.protocol.batches import Batch
from logstream.protocol.client_messages import Fetched, FetchResponse
from logstream.protocol.errors import ErrorCode
from simulation.checks import queues
from simulation.checks.violation import Violation
from simulation.run import Run

Patch = Callable[[pytest.MonkeyPatch], None]


def many_producers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dedup, "__len__", lambda self: queues.PRODUCERS + 1)


def many_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Holding, "__len__", lambda self: queues.HELD_REQUESTS + 1)


def much_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "HELD_BYTES", -1)


def many_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Sessions.asked

    def twice_and_more(sessions: Sessions, origin: object, correlation: int, size: int = 0) -> object:
        for number in range(queues.UNANSWERED + 1):
            if queue := sessions._queues.get(origin):  # type: ignore[call-overload]
                queue.asked.append((-number, 0))
        return asked(sessions, origin, correlation, size)  # type: ignore[arg-type]

    monkeypatch.setattr(Sessions, "asked", twice_and_more)
    monkeypatch.setattr("logstream.core.gateway.sessions.UNANSWERED_MAX", 1 << 30)


@pytest.mark.parametrize("grow", [many_producers, many_held, much_held, many_unanswered])
def test_a_queue_beyond_its_bound_ends_the_run(monkeypatch: pytest.MonkeyPatch, grow: Patch) -> None:
    grow(monkeypatch)
    outcome = Run(1).go()
    assert outcome.violation is not None and outcome.violation.rule == "I19", str(outcome.violation)


@pytest.mark.parametrize(("sizes", "fits"), [((queues.CREDIT // 4,) * 3, True), ((queues.CREDIT, 1), False)])
def test_an_answer_carries_the_credit_or_one_batch(sizes: tuple[int, ...], fits: bool) -> None:
    batches = tuple(Batch(b"", bytes(size)) for size in sizes)
    answer = FetchResponse((Fetched("t", 0, ErrorCode.NONE, "", 0, 0, batches),), True)
    said = Reply(Session(1), 1, answer)
    if fits:
        assert queues.check_answer("n1", said) is None  # type: ignore[func-returns-value]
        return
    with pytest.raises(Violation, match="I19"):
        queues.check_answer("n1", said)


def test_one_batch_may_be_larger_than_the_credit() -> None:
    one = Batch(b"", bytes(2 * queues.CREDIT))
    answer = FetchResponse((Fetched("t", 0, ErrorCode.NONE, "", 0, 0, (one,)),), True)
    queues.check_answer("n1", Reply(Session(1), 1, answer))
    assert one.size > queues.CREDIT
