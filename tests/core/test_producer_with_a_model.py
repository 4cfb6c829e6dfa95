"""ProducerCore against a model of the cluster: everything that can go wrong, together."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.client_effects import Failed
from logstream.core.client_events import Outgoing, Submitted
from logstream.core.producer import ProducerCore, ProducerSettings
from tests.client.cluster_model import ClusterModel, PlainBuilder, values_in
from tests.client.pretend_network import PretendNetwork


def run_against_the_model(
    seed: int, records: int, partitions: int, trouble_s: float
) -> tuple[PretendNetwork, list[int]]:
    random = Random(seed)
    model = ClusterModel(["a:1", "b:1", "c:1"], partitions=partitions)
    core = ProducerCore(["a:1"], PlainBuilder, random, ProducerSettings())
    network = PretendNetwork(model, core, random, trouble_s)
    submitted: list[int] = []
    sent = 0
    while sent < records:
        size = min(random.randrange(1, 40), records - sent)
        batch = [
            Outgoing("t", b"%d" % number, None, (), number % partitions, 0, number)
            for number in range(sent, sent + size)
        ]
        network.at(random.uniform(0, trouble_s), _submission(network, batch, submitted))
        sent += size
    network.run(200.0)
    assert not core.is_waiting
    return network, submitted


def _submission(network: PretendNetwork, batch: list[Outgoing], submitted: list[int]) -> Callable[[], None]:
    def submit() -> None:
        submitted.extend(int(one.value or b"") for one in batch)
        network.tell(Submitted(batch, network.now))

    return submit


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), partitions=st.integers(1, 3))
def test_every_record_is_in_the_log_once_and_in_the_order_of_its_partition_whatever_happens_on_the_way(
    seed: int, partitions: int
) -> None:
    network, submitted = run_against_the_model(seed, 300, partitions, 15.0)
    assert [outcome for outcome in network.outcomes if isinstance(outcome, Failed)] == []
    for number, log in enumerate(network.model.topics["t"].partitions):
        values = [int(value) for batch in log.batches for value in values_in(batch)]
        assert values == [value for value in submitted if value % partitions == number]
        acknowledged = {
            ticket: outcome.offset + index
            for outcome in network.outcomes
            if outcome.partition == number
            for index, ticket in enumerate(outcome.tickets)
        }
        assert acknowledged == {value: offset for offset, value in enumerate(values)}
