"""A durable member that comes back with less than it has said is seen (R2, R9, R19)."""

from __future__ import annotations

import pytest

from logstream.core.replica.history import History
from logstream.core.replica.promise import Votes
from logstream.core.replica.storing import Recovered
from logstream.protocol.identity import EMPTY_LOG, NO_EPOCH, Epoch
from logstream.protocol.messages import ReplicateAck, State, StateExchange, ViewInstall, ViewInstallAck
from simulation.checks.ledger import Ledger
from simulation.checks.violation import Violation
from simulation.checks.witness import Witness
from tests.core.builders import A, B, C, epoch, history_of, view

ENTRIES = 3


@pytest.fixture
def witness() -> Witness:
    return Witness(Ledger())


def found(promised: Epoch, last_view: Epoch, entries: int = ENTRIES) -> Recovered:
    """What the disk of b held."""
    one = view(1, A, B, C)
    return Recovered("s", Votes(promised, last_view, one, (), one), history_of(entries))


def ack(history: History) -> ReplicateAck:
    return ReplicateAck(epoch(1), history.end, history.log.chain, 0, True)


def test_who_comes_back_with_all_that_it_has_said_breaks_nothing(witness: Witness) -> None:
    witness.said(B, ViewInstallAck(epoch(1)))
    witness.said(B, ack(history_of(ENTRIES)))
    witness.said(B, StateExchange(epoch(2, B), None))
    witness.came_back(B, found(epoch(2, B), epoch(1)))
    assert witness.mirror(B).end == ENTRIES


def test_a_promise_that_was_given_and_forgotten_is_seen(witness: Witness) -> None:
    witness.said(B, State(epoch(3, C), None, (), epoch(1), EMPTY_LOG))
    with pytest.raises(Violation, match=r"R2: b .* comes back with promise 1/a, .* it has said 3/c"):
        witness.came_back(B, found(epoch(1), epoch(1)))


@pytest.mark.parametrize("word", [StateExchange(epoch(2, B), None), ViewInstall(view(2, B, C), (), None, EMPTY_LOG)])
def test_a_candidates_promise_to_itself_that_is_forgotten_is_seen(witness: Witness, word: object) -> None:
    witness.said(B, word)
    with pytest.raises(Violation, match=r"R2: b .* it has said 2/b"):
        witness.came_back(B, found(epoch(1), epoch(1)))


def test_a_base_that_was_vouched_for_and_is_not_there_is_seen(witness: Witness) -> None:
    witness.said(B, ViewInstallAck(epoch(1)))
    with pytest.raises(Violation, match=r"R2: b .* last view none; it has said 1/a, and 1/a of a base"):
        witness.came_back(B, found(epoch(1), NO_EPOCH))


@pytest.mark.parametrize("entries", [0, ENTRIES - 1])
def test_an_entry_that_was_acknowledged_and_is_not_there_is_seen(witness: Witness, entries: int) -> None:
    witness.said(B, ack(history_of(ENTRIES)))
    with pytest.raises(Violation, match=rf"R9: b .* comes back without entry {ENTRIES}"):
        witness.came_back(B, found(epoch(1), epoch(1), entries))
