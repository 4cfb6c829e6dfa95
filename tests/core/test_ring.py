"""Ring: every node computes the same one, load is spread, and little moves when a broker comes or goes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.effects import Announce
from logstream.core.replica.vocabulary import ServingChanged
from logstream.core.ring import Ring
from logstream.core.stream_assigner import RingChanged, StreamAssigner
from logstream.protocol.identity import Member
from tests.core.builders import A, B, C

KEYS = [(f"topic-{number}", partition) for number in range(100) for partition in range(10)]
NAMES = st.lists(st.integers(8001, 8100), min_size=1, max_size=6, unique=True)


def brokers(ports: list[int]) -> tuple[Member, ...]:
    return tuple(Member(f"127.0.0.1:{port}", "s") for port in ports)


def owners(ring: Ring) -> dict[tuple[str, int], Member | None]:
    return {key: ring.owner(*key) for key in KEYS}


@settings(deadline=None, max_examples=25)
@given(NAMES, st.randoms(use_true_random=False))
def test_the_ring_is_the_same_in_whatever_order_the_brokers_are_named(ports: list[int], dice: object) -> None:
    shuffled = list(ports)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert owners(Ring(brokers(ports))) == owners(Ring(brokers(shuffled)))


@settings(deadline=None, max_examples=25)
@given(NAMES, st.integers(8101, 8200))
def test_a_broker_that_comes_takes_partitions_and_moves_no_others(ports: list[int], new: int) -> None:
    before, after = owners(Ring(brokers(ports))), owners(Ring(brokers([*ports, new])))
    moved = {key for key in KEYS if before[key] != after[key]}
    assert {after[key] for key in moved} <= set(brokers([new]))
    assert len(moved) < 2.5 * len(KEYS) / (len(ports) + 1)


@settings(deadline=None, max_examples=25)
@given(NAMES)
def test_no_broker_is_left_out_or_has_more_than_its_double_share(ports: list[int]) -> None:
    shares = Counter(owners(Ring(brokers(ports))).values())
    assert len(shares) == len(ports)
    assert max(shares.values()) <= 2.2 * len(KEYS) / len(ports)


def test_nobody_serves_an_empty_ring() -> None:
    assert Ring(()).owner("t", 0) is None


def test_the_assigner_announces_the_ring_over_who_serves() -> None:
    assigner = StreamAssigner()
    [effect] = assigner.handle(ServingChanged((A, B, C)))
    assert effect == Announce(RingChanged(assigner.ring))
    assert assigner.ring.brokers == (A, B, C)
