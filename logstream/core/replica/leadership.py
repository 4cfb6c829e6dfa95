"""The leader's side of a Replica: it sequences, sends, counts acks and teaches learners.

Made when a view that this member leads is installed, thrown away when it is not active any more.
Entries are appended as proposals arrive; once per loop turn `flush` sends what has gathered, so
one message carries whatever one turn brought.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from logstream.core.effects import Announce, Effect, Send
from logstream.core.quorum import floor_of
from logstream.core.replica.dedup import Verdict
from logstream.core.replica.history import History
from logstream.core.replica.learning import answer_from
from logstream.core.replica.log import ENTRY_OVERHEAD, common_prefix
from logstream.core.replica.outflow import Outflow
from logstream.core.replica.retention import Keep, Retention
from logstream.core.replica.tally import Tally
from logstream.core.replica.trimming import Trimming
from logstream.core.replica.vocabulary import (
    FollowerHeard,
    LearnerCaughtUp,
    MemberStalled,
    Propose,
    ProposeDecision,
    Rejected,
)
from logstream.core.replica.waiting import Waiter, Waiting
from logstream.protocol.batches import NO_PRODUCER
from logstream.protocol.errors import ErrorCode, RemoteProtocolError
from logstream.protocol.identity import Member, View
from logstream.protocol.messages import (
    AlterTopic,
    Heartbeat,
    Learn,
    Nack,
    ReplicateAck,
    TopicAltered,
    TopicCreated,
    TopicDeleted,
)

CAUGHT_UP_ENTRIES = 1000
CAUGHT_UP_BYTES = 1 << 20
LEARNER_SILENT_S = 3.0
BEATS_ABOVE_FLOOR = 2
CLEAR_S = 1.0
OWN_SYNC_S = 1.0  # a leader whose own append is not stored for so long while commit waits for it steps down


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a leader."""

    memory_max: int  # bytes of the log
    lease_s: float  # without acks from a majority for so long a leader steps down
    slow_s: float  # without a commit for so long producers hear why, and with commit = all a view leaves out who lags
    expected_nodes: Callable[[], int]  # as set, or as the state folder remembers (Q10)
    present_s: float = 0.5  # a member that has not acked for so long does not count for the floor: two heartbeats
    keep: Keep = field(default_factory=Keep)  # what a partition may hold (R22)


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """Values that a Replica needs; times in seconds, sizes in bytes."""

    limits: Limits
    heartbeat_s: float = 0.25
    nack_s: float = 0.02
    receive_buffer: int = 1 << 20  # of the multicast socket, as the kernel gave it


@dataclass(slots=True)
class Learner:
    """A node that is catching up."""

    match: int
    heard_at: float


class Leadership:
    """What one member does while it leads one view."""

    def __init__(
        self, view: View, me: Member, history: History, waiting: Waiting, limits: Limits, beats_above_floor: int
    ) -> None:
        self.view = view
        self.tally = Tally(view)
        self.outflow = Outflow(view, me, history, self.tally)
        self.retention = Retention(limits.keep, limits.memory_max, history)
        self.learners: dict[Member, Learner] = {}
        self.beats = 0
        self.last_beat: Heartbeat | None = None
        self.base_applied = False  # said so
        self.beats_above_floor = beats_above_floor  # without a break, in earlier views too (Q10)
        self.other_cluster_at = -CLEAR_S  # when a cluster that holds topics was last heard of
        self._me = me
        self._history = history
        self._waiting = waiting
        self._limits = limits
        self._moved_at: float | None = None  # when commit last moved; None: there is nothing to commit
        self._committed = 0
        self._acked_at: dict[Member, float] = {}
        self._installed_by: tuple[Member, ...] = ()  # who has acked VIEW_INSTALL
        self._present_at: dict[Member, float] = {}  # when each member has said that it is in this view

    def begin(self, acked: tuple[Member, ...]) -> None:
        """These members have accepted the view, and hold its base."""
        self._installed_by = acked
        for member in acked:
            self.tally.ack(member, self.view.base)

    # --- sequencing ---

    def propose(self, proposal: Propose) -> list[Effect]:
        """Judge a batch by its sequence and append it if it is new (R12)."""
        slot = (proposal.topic_id, proposal.partition)
        if proposal.topic_id not in self._history.topic_ids:
            return [_rejected(proposal.request, ErrorCode.UNKNOWN_TOPIC, "the topic has been deleted")]
        header = proposal.header
        if header.producer_id != NO_PRODUCER:
            verdict, repeated = self._history.dedup.judge((header.producer_id, *slot), header)
            if repeated is not None:
                self._waiting.add(Waiter(repeated.gseq, proposal.request, repeated.offset, proposal.at))
                return []
            if verdict is not Verdict.NEW:
                return [_rejected(proposal.request, *_VERDICTS[verdict])]
        size = proposal.batch.size + ENTRY_OVERHEAD
        if size > self.retention.room_for:
            text = f"a batch of {size} bytes can never fit into the memory of this broker (setting memory_max)"
            return [_rejected(proposal.request, ErrorCode.RECORD_TOO_LARGE, text)]
        refusal = self._refusal(proposal.at, size)
        if refusal is not None:  # only now: what is in the log already gets its offset, however full the memory is
            return [_rejected(proposal.request, ErrorCode.RETRY, refusal)]
        offset = self._history.next_offset(slot)
        entry = self._history.sequence_batch(self.view.epoch, slot, proposal.batch, header)
        self._waiting.add(Waiter(entry.gseq, proposal.request, offset, proposal.at))
        return []

    def decide(self, proposal: ProposeDecision) -> list[Effect]:
        """Append a decision, unless it would change nothing."""
        refusal = self._refusal(proposal.at, 0)
        if refusal is not None:
            return [_rejected(proposal.request, ErrorCode.RETRY, refusal)]
        decision = proposal.decision
        known = self._history.topics.get(decision.name)
        if isinstance(decision, TopicCreated):
            if known is not None:
                text = f"topic {decision.name!r} exists already"
                return [_rejected(proposal.request, ErrorCode.TOPIC_EXISTS, text)]
        elif known is None or (isinstance(decision, TopicDeleted) and known != decision.topic_id):
            text = f"there is no topic {decision.name!r}"
            return [_rejected(proposal.request, ErrorCode.UNKNOWN_TOPIC, text)]
        elif isinstance(decision, AlterTopic):
            return self._alter(proposal, decision, known)
        entry = self._history.sequence_decision(self.view.epoch, decision)
        self._waiting.add(Waiter(entry.gseq, proposal.request, entry.gseq, proposal.at))
        return []

    def _alter(self, proposal: ProposeDecision, wanted: AlterTopic, topic_id: int) -> list[Effect]:
        """What changes nothing is in the log already, and true once that is committed."""
        before = self._history.retention_of(topic_id)
        after = before.changed(wanted.retention, wanted.to_default)
        if after != before:
            self._history.sequence_decision(self.view.epoch, TopicAltered(topic_id, wanted.name, after))
        self._waiting.add(Waiter(self._history.end, proposal.request, topic_id, proposal.at))
        return []

    def _refusal(self, at: float, size: int) -> str | None:
        """Why nothing may be sequenced now, if so."""
        if self._history.log.bytes + size > self.retention.room_for:
            self.retention.refused(size)
            return "broker memory is full (setting memory_max)"
        return self.held_up(at)

    def held_up(self, at: float) -> str | None:
        """In words, why an empty cluster takes no records yet; None: it takes them."""
        return None if self._history.topics else self._below_floor(at)

    def trim(self, trimming: Trimming, at: float) -> None:
        """Sequence what retention decides; full memory is a reason for this, not against it."""
        decisions = self.retention.decisions(trimming, at)
        for decision in decisions:
            self._history.sequence_decision(self.view.epoch, decision)
        if decisions:
            self.retention.decided()

    def _below_floor(self, at: float) -> str | None:
        """Q10: an empty cluster sequences nothing while it may be the smaller part of a larger one."""
        expected = self._limits.expected_nodes()
        floor, present = floor_of(expected), self._present(at)
        if len(present) < floor:
            names = ", ".join(member.node_id for member in present)
            return f"waiting for {floor} of {expected} expected nodes (setting expected_nodes), so far: {names}"
        if expected > 1 and self.beats_above_floor < BEATS_ABOVE_FLOOR:
            return "the cluster has just formed, waiting for two heartbeats"
        if expected > 1 and at - self.other_cluster_at < CLEAR_S:
            return "another cluster of this name holds topics, waiting to join it"
        return None

    def _present(self, at: float) -> list[Member]:
        """Members that are there: a dead one stays a member (Q9a), and its node may be in another cluster by now."""
        recent = {member for member, acked_at in self._present_at.items() if at - acked_at <= self._limits.present_s}
        return [member for member in self.view.members if member in recent or member == self._me]

    # --- acks, commit ---

    def store_own(self) -> None:
        """This member has stored its own log up to its end."""
        self.tally.ack(self._me, self._history.stored_end)

    def acked(self, member: Member, ack: ReplicateAck, at: float) -> list[Effect]:
        """A member has stored everything up to ack.gseq (R9, R10).

        Raises RemoteProtocolError if it stored something else than this leader has: that must never count.
        """
        if member not in self.outflow.flows or ack.gseq > self._history.end:
            return []
        log = self._history.log
        if ack.gseq >= log.start - 1 and ack.chain != log.chain_at(ack.gseq):  # below it all is committed anyway
            raise RemoteProtocolError(f"the log of {member} differs from the leader's at or before entry {ack.gseq}")
        self._acked_at[member] = self._present_at[member] = at
        moved = self.tally.ack(member, ack.gseq)
        self.outflow.acked(member, ack, moved)
        return [Announce(FollowerHeard(member, at))]

    def committed(self, at: float) -> int:
        """How far the view has committed; never below an earlier answer."""
        commit = self.tally.committed()
        if commit > self._committed:
            self._committed, self._moved_at = commit, None
        if self._moved_at is None and self._committed < self._history.end:
            self._moved_at = at
        return self._committed

    def missing(self, nack: Nack, member: Member, commit: int) -> list[Effect]:
        """Repair what a member misses (R16). Raises RemoteProtocolError for what no log ever held."""
        if nack.first < 1:
            raise RemoteProtocolError(f"{member} misses entry {nack.first}, which no log ever held")
        return self.outflow.repair(member, nack.first, nack.last, commit)

    # --- heartbeats ---

    def lease_is_over(self, at: float) -> bool:
        """Has no majority acknowledged anything for the lease, or does commit wait for this leader's own disk (R14)?

        A lone member needs nobody.
        """
        self._acked_at = {member: self._acked_at.get(member, at) for member in self.outflow.flows}
        fresh = sum(at - acked_at <= self._limits.lease_s for acked_at in self._acked_at.values())
        return 2 * (fresh + 1) <= len(self.view.members) or self._disk_hangs(at)

    def _disk_hangs(self, at: float) -> bool:
        waits = self._moved_at is not None and at - self._moved_at >= OWN_SYNC_S
        return waits and self._history.stored_end <= self._committed

    def stalled(self, at: float) -> list[Effect]:
        """With commit = all, the members that keep everybody waiting for the slow time (R18)."""
        if self.view.commit != "all" or self._moved_at is None or at - self._moved_at < self._limits.slow_s:
            return []
        missing = self.tally.missing(self._committed + 1)
        return [Announce(MemberStalled(member)) for member in missing if member != self._me]

    def beat(self, serving: tuple[Member, ...], commit: int, at: float) -> list[Effect]:
        """A heartbeat for everybody; who has waited for too long hears why."""
        self.last_beat = beat = Heartbeat(self.view.epoch, self._history.end, commit, serving, self.view.lineage)
        effects = self.outflow.heartbeat(beat, to_all=self.beats == 0)
        if self.beats == 0:
            self._present_at |= dict.fromkeys(self._installed_by, at)
        self.beats += 1
        above = len(self._present(at)) >= floor_of(self._limits.expected_nodes())
        self.beats_above_floor = self.beats_above_floor + 1 if above else 0
        self.learners = still_heard(self.learners, at)
        effects += [Send(member, beat) for member in self.learners]
        return effects + self.stalled(at) + self._late(at)

    def _late(self, at: float) -> list[Effect]:
        """Where commit has not moved for the slow time, say to those who wait what it waits for."""
        oldest, slow_s = self._waiting.oldest, self._limits.slow_s
        if oldest is None or self._moved_at is None or at - self._moved_at < slow_s:
            return []
        missing = self.tally.missing(oldest.gseq)
        who = ", ".join(member.node_id for member in missing)
        verb = "member {} does not answer" if len(missing) == 1 else "members {} do not answer"
        text = f"no commit for {at - self._moved_at:.0f} s: {verb.format(who)}"
        return [_rejected(waiter.request, ErrorCode.RETRY, text) for waiter in self._waiting.take_since(at - slow_s)]

    # --- learners ---

    def teach(self, learner: Member, learn: Learn, at: float) -> list[Effect]:
        """Send a learner the next slice, in the name of this view, and say so when it is close enough (R18)."""
        if learner in self.view.members:
            return []
        log = self._history.log
        common = common_prefix(log.digest(), learn.digest)
        self.learners[learner] = Learner(common, at)
        effects: list[Effect] = [Announce(FollowerHeard(learner, at))]
        if common < log.end or learn.digest.end > common:
            effects.append(Send(learner, answer_from(self._history, replace(learn, epoch=self.view.epoch))))
        if log.end - common <= CAUGHT_UP_ENTRIES and log.bytes_between(common, log.end) <= CAUGHT_UP_BYTES:
            effects.append(Announce(LearnerCaughtUp(learner, at)))
        return effects


_VERDICTS: dict[Verdict, tuple[ErrorCode, str]] = {
    Verdict.GAP: (ErrorCode.OUT_OF_ORDER, "an earlier batch of this producer is missing"),
    Verdict.UNKNOWN: (ErrorCode.UNKNOWN_PRODUCER, "the log does not know this producer"),
    Verdict.FENCED: (ErrorCode.FENCED, "a newer incarnation of this producer has taken over"),
}


def still_heard(learners: dict[Member, Learner], at: float) -> dict[Member, Learner]:
    """Those learners that have asked a short while ago."""
    return {one: learner for one, learner in learners.items() if at - learner.heard_at < LEARNER_SILENT_S}


def retry(request: int, text: str) -> Effect:
    """Let whoever waits for this request hear why it should ask again (R11)."""
    return _rejected(request, ErrorCode.RETRY, text)


def _rejected(request: int, error: ErrorCode, text: str) -> Effect:
    return Announce(Rejected(request, error, text))
