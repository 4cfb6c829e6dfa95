"""Topic: which batch of a partition takes a record."""

from __future__ import annotations

from random import Random

from logstream.core.client_events import Outgoing
from logstream.core.routing import Topic
from logstream.core.window import Window
from tests.client.cluster_model import PlainBuilder


def test_a_record_does_not_join_a_batch_that_will_be_given_up_long_before_its_own_time_is_over() -> None:
    """Where nothing can be sent a batch stays open, and it has one deadline, which is its first record's."""
    topic = Topic("t", PlainBuilder, 1000, 60.0, Random(1))
    topic.record_max = 1000
    topic.set_windows([window := Window("t", 0, 7)])
    for value, at in (b"a", 0.0), (b"b", 6.0), (b"c", 59.0):
        assert topic.add(Outgoing("t", value, None, (), None, 0, value), at) is None
    assert window.open is not None
    waiting = [*window.ready, window.open]
    assert [(batch.tickets, batch.deadline) for batch in waiting] == [([b"a", b"b"], 60.0), ([b"c"], 119.0)]
