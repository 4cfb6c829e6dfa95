"""The witness can see each broken promise: members and logs that no correct cluster shows (protocol section 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from logstream.core.effects import Broadcast, Multicast, Send, Unicast
from logstream.core.replica.history import History
from logstream.core.replica.promise import Promise
from logstream.protocol.batches import NO_PRODUCER, Batch, stamp_producer
from logstream.protocol.identity import NO_EPOCH, Epoch, Member, View
from logstream.protocol.messages import Entry, ReplicateAck, State, ViewInstallAck
from logstream.protocol.records import RecordBuilder
from simulation.checks.ledger import Ledger
from simulation.checks.violation import Violation
from simulation.checks.witness import HOLDBACK_ENTRIES, Witness
from tests.core.builders import A, B, C, append, epoch, following, view


@dataclass
class Held:
    """A holdback of this size."""

    entries: int
    bytes: int = 1

    def __len__(self) -> int:
        return self.entries


@dataclass
class Follower:
    holdback: Held


@dataclass
class Seen:
    """What the witness looks at of a member."""

    me: Member
    history: History = field(default_factory=History)
    followership: Follower | None = None
    promise: Promise = field(init=False)

    def __post_init__(self) -> None:
        self.promise = Promise(self.me)

    @property
    def commit(self) -> int:
        return self.history.commit

    def accepts(self, one: View) -> Seen:
        self.promise.accept(one, (), None)
        return self

    def resumes(self, one: View) -> Seen:
        assert self.promise.resume(one.epoch) is not None
        return self


class World:
    """A witness, and members to show it."""

    def __init__(self) -> None:
        self.witness = Witness(Ledger())

    def look(self, *members: Any) -> None:
        for member in members:
            self.witness.look(member)

    def breaks(self, rule: str, *members: Any) -> None:
        with pytest.raises(Violation) as seen:
            self.look(*members)
        assert seen.value.rule == rule, str(seen.value)

    def installed(self, one: View, *members: Seen) -> None:
        """These accept a view; the first of them leads it."""
        for member in members:
            self.look(member.accepts(one))
        for member in members:
            self.look(member.resumes(one))


def real_batch(*values: bytes) -> Batch:
    """A batch whose records can be read."""
    builder = RecordBuilder()
    for value in values:
        builder.append(None, value, (), 0)
    return stamp_producer(builder.build(), NO_PRODUCER, 0, -1)


def add(member: Seen, made_in: Epoch, *values: bytes) -> Entry:
    return append(member.history, made_in, real_batch(*values))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def trio(world: World) -> tuple[Seen, Seen, Seen]:
    """A leads view 1 of a, b, c; all hold one entry, which is committed nowhere yet."""
    a, b, c = Seen(A), Seen(B), Seen(C)
    world.installed(view(1, A, B, C, commit="majority"), a, b, c)
    entry = add(a, epoch(1), b"1")
    b.history.follow(entry)
    c.history.follow(entry)
    world.look(a, b, c)
    return a, b, c


def test_a_correct_cluster_breaks_nothing(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    a, b, c = trio
    for member in (a, b, c):
        member.history.commit_to(1)
        world.look(member)
    assert world.witness.ledger.end == 1


# --- leaders and views ---


def test_two_members_that_lead_one_epoch_are_seen(world: World) -> None:
    a, b = Seen(A), Seen(B)
    world.installed(view(1, A, B, leader=A), a, b)
    stolen = View(epoch(1, A), B, (A, B), (), 0, "c1", "all")
    b.promise.active = stolen
    world.breaks("I1", b)


def test_an_epoch_with_two_views_is_seen(world: World) -> None:
    a = Seen(A)
    world.installed(view(1, A), a)
    a.promise.active = view(1, A, B)
    world.breaks("I3", a)


def test_a_view_that_no_quorum_of_the_one_before_has_promised_is_seen(world: World) -> None:
    a, b, c = Seen(A), Seen(B), Seen(C)
    world.installed(view(1, A, B, C), a, b, c)
    world.look(c.accepts(view(2, C)))
    world.breaks("I3", c.resumes(view(2, C)))


def test_a_view_whose_members_did_not_move_on_to_one_installed_already_is_seen(world: World) -> None:
    """The leader of view 2 hears late that it is installed; of its members nobody has promised view 3."""
    a, b, c = Seen(A), Seen(B), Seen(C)
    world.installed(view(1, A, B, C), a, b, c)
    for member in (b, c):
        member.promise.promise(epoch(3, C))
    world.installed(view(3, B, C, leader=C), c, b)
    late, other = Member("d", "s"), Member("e", "s")
    members = tuple(sorted((late, other, A)))
    two = View(Epoch.of(2, late), late, members, (), 0, "c1", "all")
    a.promise.promise(Epoch.of(2, late))
    for member in (Seen(late), Seen(other), a):
        world.look(member.accepts(two))
        if member.me == late:
            leader = member
    world.breaks("I3", leader.resumes(two))


def test_a_leader_that_hears_late_that_its_view_was_installed_breaks_nothing(world: World) -> None:
    a, b, c = Seen(A), Seen(B), Seen(C)
    world.installed(view(1, A, B, C), a, b, c)
    two = view(2, A, B, C, leader=B)
    for member in (b, a, c):
        world.look(member.accepts(two))
    world.installed(view(3, A, C, leader=C), c, a)
    world.look(b.resumes(two))
    assert sorted(one.n for one in world.witness.installed) == [1, 2, 3]


def test_two_identities_of_one_node_in_a_view_are_seen(world: World) -> None:
    again = Member("a", "other", A.address)
    world.breaks("I18", Seen(A).accepts(view(1, A, again)))


def test_a_promise_that_goes_back_is_seen(world: World) -> None:
    a = Seen(A)
    a.promise.promise(epoch(5, B))
    world.look(a)
    a.promise.promised = epoch(4, B)
    world.breaks("I2", a)


def test_an_installed_view_that_goes_back_is_seen(world: World) -> None:
    a = Seen(A)
    world.installed(view(2, A), a)
    a.promise.installed = view(1, A)
    world.breaks("I2", a)


def test_a_checkpoint_above_a_tail_that_was_never_committed_replaces_it(
    world: World, trio: tuple[Seen, Seen, Seen]
) -> None:
    """C missed view 2, whose leader has cut its log above the view's base meanwhile."""
    a, b, c = trio
    add(c, epoch(1), b"never committed")
    world.look(c)
    orphan, two = add(a, epoch(2), b"orphan"), view(2, A, B, C, base=2, commit="majority")
    b.history.follow(orphan)
    world.installed(two, a, b)
    b.history.follow(add(a, epoch(2), b"3"))
    world.look(a, b)
    for member in (a, b):
        member.history.commit_to(3)
        world.look(member)
    a.history.log.drop_bodies([1, 2, 3])
    a.history.cut_head(3)
    c.history = History(a.history.checkpoint)
    world.look(c.accepts(two))
    assert world.witness.mirror(C).chains == world.witness.ledger.chains


# --- logs ---


def test_an_epoch_that_gives_a_gseq_twice_is_seen(world: World) -> None:
    a, b = Seen(A), Seen(B)
    add(a, epoch(1), b"1")
    add(b, epoch(1), b"another")
    world.breaks("I4", a, b)


def test_logs_of_one_view_that_differ_are_seen(world: World) -> None:
    a, b = Seen(A), Seen(B)
    world.installed(view(2, A, B), a, b)
    add(a, epoch(2), b"1")
    add(b, epoch(1), b"another")
    world.breaks("I5", a, b)


def test_a_view_that_begins_with_two_logs_is_seen(world: World) -> None:
    a, b = Seen(A), Seen(B)
    add(a, epoch(1), b"1")
    world.breaks("I16", a.accepts(view(2, A, B)), b.accepts(view(2, A, B)))


def test_a_log_that_is_cut_outside_of_a_view_change_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    _, b, _ = trio
    b.history.truncate(0)
    world.breaks("I17", b)


def test_a_log_that_is_cut_below_its_commit_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    a, b, _ = trio
    for member in (a, b):
        member.history.commit_to(1)
        world.look(member)
    b.history = History()
    world.breaks("I17", b.accepts(view(2, A, B, C)))


def test_a_holdback_beyond_its_bound_is_seen(world: World) -> None:
    a = Seen(A)
    a.followership = Follower(Held(HOLDBACK_ENTRIES + 1))
    world.breaks("I19", a)


# --- commit ---


def test_a_commit_on_too_few_members_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    a, _, _ = trio
    add(a, epoch(1), b"2")
    world.look(a)
    a.history.commit_to(2)
    world.breaks("I6", a)


def test_a_commit_by_a_member_that_does_not_lead_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    _, b, _ = trio
    b.history.commit_to(1)
    world.breaks("I6", b)


def test_a_commit_that_goes_back_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    a, _, _ = trio
    a.history.commit_to(1)
    world.look(a)
    a.history.commit = 0
    world.breaks("I2", a)


def test_a_base_without_a_committed_entry_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    a, b, c = trio
    a.history.commit_to(1)
    world.look(a)
    for member in (b, c):
        member.history = History()
        world.look(member.accepts(view(2, B, C)))
    world.breaks("I7", b.resumes(view(2, B, C)))


def test_another_entry_committed_at_a_committed_gseq_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    a, b, c = trio
    a.history.commit_to(1)
    world.look(a)
    for member in (b, c):
        member.history = History()
    entry = add(b, epoch(2, B), b"another")
    c.history.follow(entry)
    b.history.commit_to(1)
    b.accepts(view(2, B, C, base=1))
    world.breaks("I7", b)


def test_an_overtaken_leader_that_commits_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    a, b, c = trio
    a.promise.promise(epoch(2, B))
    for member in (a, b, c):
        world.look(member)
    empty = [Seen(B), Seen(C)]
    for member in empty:
        member.promise.promise(epoch(2, B))
    for member, fresh in zip((b, c), empty, strict=True):
        member.history = fresh.history
        world.look(member.accepts(view(2, B, C)))
    world.look(b.resumes(view(2, B, C)))
    a.promise.active = view(1, A, B, C, commit="majority")
    world.witness.mirror(B).chains = list(world.witness.mirror(A).chains)  # as if b held it still
    a.history.commit_to(1)
    world.breaks("I21", a)


def test_a_second_cluster_that_commits_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    a, _, _ = trio
    a.history.commit_to(1)
    world.look(a)
    stranger = Seen(Member("z", "s"))
    other = View(Epoch.of(1, stranger.me), stranger.me, (stranger.me,), (), 0, "c2", "all")
    world.installed(other, stranger)
    append(stranger.history, other.epoch, real_batch(b"2"))
    append(stranger.history, other.epoch, real_batch(b"3"))
    stranger.history.commit_to(2)
    world.breaks("I7", stranger)


def test_a_commit_that_is_on_too_few_disks_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    """R9: all three hold it in memory."""
    a, _, _ = trio
    world.witness.on_disk = lambda member, gseq, chain: member == A
    a.history.commit_to(1)
    world.breaks("I6", a)


def test_a_base_that_is_on_too_few_disks_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    a, b, c = trio
    world.witness.on_disk = lambda member, gseq, chain: member == B
    for member in (b, a, c):
        world.look(member.accepts(view(2, B, A, C, base=1)))
    world.breaks("I6", b.resumes(view(2, B, A, C, base=1)))


# --- what is said ---


def test_an_ack_below_what_was_promised_aloud_is_seen(world: World) -> None:
    digest = History().log.digest()
    world.witness.said(A, State(epoch(3, B), None, (), NO_EPOCH, digest))
    with pytest.raises(Violation, match="I10"):
        world.witness.said(A, ReplicateAck(epoch(2, B), 0, 0, 0, False))


def test_an_ack_of_a_view_that_was_never_accepted_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    for one in (ReplicateAck(epoch(5), 1, 0, 0, False), ViewInstallAck(epoch(5))):
        with pytest.raises(Violation, match="I10"):
            world.witness.said(B, one)


def test_an_ack_of_what_is_not_held_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    with pytest.raises(Violation, match="I10"):
        world.witness.said(B, ReplicateAck(epoch(1), 7, 7, 0, False))


def ack_of(member: Seen, made_in: Epoch) -> ReplicateAck:
    """A true one, if that is its view."""
    return ReplicateAck(made_in, member.history.end, member.history.log.chain, 0, True)


def test_a_true_ack_breaks_nothing(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    _, b, _ = trio
    world.witness.heard(b, [Send(A, ack_of(b, epoch(1))), Send(A, ViewInstallAck(epoch(1)))])
    world.witness.said(B, ack_of(b, epoch(1)))
    assert world.witness.mirror(B).said == epoch(1)


@pytest.mark.parametrize("way", [lambda ack: Send(A, ack), Multicast, Broadcast, lambda ack: Unicast("a:1", ack)])
def test_an_ack_is_judged_in_the_turn_in_which_it_is_said_by_whatever_way(
    world: World, trio: tuple[Seen, Seen, Seen], way: Callable[[ReplicateAck], object]
) -> None:
    _, b, _ = trio
    with pytest.raises(Violation, match="I10"):
        world.witness.heard(b, [way(ReplicateAck(epoch(1), 7, 7, 0, False))])


@pytest.mark.parametrize("kind", [ReplicateAck, ViewInstallAck])
def test_a_candidates_promise_to_itself_forbids_acks_too(
    world: World, trio: tuple[Seen, Seen, Seen], kind: type
) -> None:
    """Nothing was said to anybody: the promise alone counts."""
    _, b, _ = trio
    b.promise.promise(epoch(2, B))
    world.look(b)
    with pytest.raises(Violation, match=r"I10: b .* has promised 2/b"):
        world.witness.heard(b, [Send(A, ack_of(b, epoch(1)) if kind is ReplicateAck else ViewInstallAck(epoch(1)))])


def test_an_ack_of_another_epoch_than_the_last_view_is_seen(world: World, trio: tuple[Seen, Seen, Seen]) -> None:
    _, b, _ = trio
    with pytest.raises(Violation, match=r"I10: b .* its last view is 1/a"):
        world.witness.heard(b, [Send(A, ack_of(b, epoch(5, A)))])


def test_following_entries_one_by_one_is_the_same_as_all_at_once(world: World) -> None:
    a, b = Seen(A), Seen(B)
    world.installed(view(1, A, B), a, b)
    for number in range(20):
        add(a, epoch(1), b"%d" % number)
        world.look(a)
    b.history = following(a.history)
    world.look(b)
    assert world.witness.mirror(A).chains == world.witness.mirror(B).chains
