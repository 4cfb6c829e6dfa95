"""Replica: the one owner of promise, log, holdback, dedup, append, ack and commit (R21).

Everything that can lose a record happens here, in one place, one message after the other:

              STATE_EXCHANGE      VIEW_INSTALL          HEARTBEAT, Resume
    any role ---------------> frozen ------------> attempted ------------> follower or leader

A Replica is put together from plain parts: Promise (which view), History (log and its tables), Stage
(another history being fetched), and while a view is active one of Leadership and Followership. The
Replica itself only decides which part hears what, fences (R8), and raises commit.

Commit and what is announced of it are two things: `commit` moves at once, the committed entries are
handed to the topics' logs in slices, so that no turn grows with the length of the log.

Elsewhere: who becomes a candidate and when it has enough answers (view_change), who is alive
(failure_detector), what clients see (gateway, topic_log).
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.core.effects import Announce, Effect, Halt, Note, Send, SetTimer, Unicast
from logstream.core.effects import Broadcast as BroadcastEffect
from logstream.core.events import Due, LinkDown, Received, Via
from logstream.core.replica import vocabulary as say
from logstream.core.replica.followership import Followership, NackDue
from logstream.core.replica.history import History
from logstream.core.replica.leadership import Leadership, Learner, Limits, catch_up, still_heard
from logstream.core.replica.log import common_prefix
from logstream.core.replica.promise import Promise
from logstream.core.replica.stage import Stage
from logstream.core.replica.waiting import Waiting
from logstream.protocol import codec
from logstream.protocol import messages as wire
from logstream.protocol.errors import ErrorCode, LocalProtocolError
from logstream.protocol.identity import NO_EPOCH, Digest, Epoch, Member, View

APPLY_ENTRIES = 1000  # committed entries handed on in one turn


@dataclass(frozen=True, slots=True)
class FlushDue:
    """The turn's messages are handled: send what has gathered."""


@dataclass(frozen=True, slots=True)
class ApplyDue:
    """Hand on more committed entries."""


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """Values that a Replica needs; times in seconds, sizes in bytes."""

    limits: Limits
    heartbeat_s: float = 0.25
    nack_s: float = 0.02
    receive_buffer: int = 1 << 20  # of the multicast socket, as the kernel gave it


@dataclass(slots=True)
class Fetch:
    """A base that must be held before something can go on."""

    epoch: Epoch
    source: Member
    base: Digest
    install: wire.ViewInstall | None = None  # None: a candidate gathers it


class Replica:
    """One member's copy of the log."""

    def __init__(self, me: Member, settings: ReplicaSettings) -> None:
        self.me = me
        self.promise = Promise(me)
        self.history = History()
        self.stage = Stage()
        self.waiting = Waiting()
        self.leadership: Leadership | None = None
        self.followership: Followership | None = None
        self.applied = 0  # committed entries up to here were handed on
        self.cluster_id = ""
        self._settings = settings
        self._fetch: Fetch | None = None
        self._teacher: Member | None = None  # whom this learner learns from
        self._serving: tuple[Member, ...] = ()
        self._flushing = self._applying = False
        self._led = NO_EPOCH  # the highest epoch of which an installed leader was heard
        self._hello_at: dict[Member, float] = {}
        self._learners: dict[Member, Learner] = {}  # while nobody leads here
        self._beats_above_floor = 0

    @property
    def commit(self) -> int:
        """The highest gseq that this member knows to be committed."""
        return self.history.commit

    def handle(self, event: object) -> list[Effect]:
        """One event; raises RemoteProtocolError for what a peer may not say."""
        match event:
            case Received(sender=Member() as sender):
                return self._hear(event, sender)
            case say.Propose():
                return self._propose(event)
            case Due(timer=FlushDue(), at=at):
                return self._flush(at)
            case Due(timer=ApplyDue()):
                self._applying = False
                return self._apply()
            case Due(timer=NackDue()):
                return self.followership.nack_due() if self.followership else []
            case say.Beat():
                return self._beat(event)
            case say.ProposeDecision():
                return self._propose(event)
            case _:
                return self._obey(event)

    def _obey(self, event: object) -> list[Effect]:
        match event:
            case say.Gather():
                return self._gather(event)
            case say.Resume():
                return self._lead(event)
            case say.StepAside():
                return self._step_aside()
            case say.LearnFrom():
                return self._learn_from(event)
            case say.Introduce():
                return self._introduce(event)
            case say.OtherClusterHeard(at=at):
                if self.leadership:
                    self.leadership.other_cluster_at = at
                return []
            case say.DropIdentity():
                return [*self._freeze(), Announce(say.IdentityDropped())] if not self.history.topics else []
            case LinkDown(member=member):
                return self._link_lost(member)
            case _:
                raise LocalProtocolError(f"the Replica cannot handle {event!r}")

    def _hear(self, received: Received, sender: Member) -> list[Effect]:
        at = received.at
        match received.message:
            case wire.ReplicateAck() as ack:
                return self._acked(ack, sender, at)
            case wire.Replicate() as replicate:
                return self._replicate(replicate, sender, received.via, at)
            case wire.Heartbeat() as beat:
                return self._heartbeat(beat, sender, received.via, at)
            case wire.Nack() as nack:
                if self.leadership and nack.epoch == self.leadership.view.epoch:
                    return self.leadership.missing(nack, sender, self.commit)
                return []
            case wire.Learn() as learn:
                return self._teach(learn, sender, at)
            case wire.CatchUp() as slice_:
                return self._learn(slice_, sender)
            case wire.StateExchange() as exchange:
                return self._exchange(exchange, sender)
            case wire.ViewInstall() as install:
                return self._install(install, sender)
            case _:
                raise LocalProtocolError(f"the Replica cannot handle {received.message!r}")

    # --- leading ---

    def _propose(self, proposal: say.Propose | say.ProposeDecision) -> list[Effect]:
        if self.leadership is None:
            return [_retry(proposal.request, "this broker does not lead")]
        if isinstance(proposal, say.Propose):
            effects = self.leadership.propose(proposal)
        else:
            effects = self.leadership.decide(proposal)
        return effects + self._soon_flush()

    def _acked(self, ack: wire.ReplicateAck, sender: Member, at: float) -> list[Effect]:
        if self.leadership is None or ack.epoch != self.leadership.view.epoch:
            return []
        return self.leadership.acked(sender, ack, at) + self._soon_flush()

    def _beat(self, beat: say.Beat) -> list[Effect]:
        if self.leadership is None:
            return []
        effects = self.leadership.beat(beat.serving, self.commit, beat.at)
        self._beats_above_floor = self.leadership.beats_above_floor
        return effects + self._serve(beat.serving) + self._soon_flush()

    def _flush(self, at: float) -> list[Effect]:
        self._flushing = False
        if self.leadership is not None:
            self.leadership.store_own()
            effects = self._commit_to(self.leadership.committed(at))
            return effects + self.leadership.outflow.flush(self.commit, at)
        if self.followership is not None:
            return [Send(self.followership.view.leader, self.followership.ack(at))]
        return []

    def _soon_flush(self) -> list[Effect]:
        if self._flushing:
            return []
        self._flushing = True
        return [SetTimer(FlushDue(), 0.0)]

    def _link_lost(self, member: Member) -> list[Effect]:
        if self.leadership is None:
            return []
        self.leadership.outflow.link_lost(member)
        return self._soon_flush()

    # --- following ---

    def _replicate(self, message: wire.Replicate, sender: Member, via: Via, at: float) -> list[Effect]:
        effects, follower = self._follow(message.epoch, sender, at)
        if follower is None:
            return effects
        effects += follower.replicate(message, via, at)
        return effects + self._commit_to(follower.leader_commit) + self._soon_flush()

    def _heartbeat(self, beat: wire.Heartbeat, sender: Member, via: Via, at: float) -> list[Effect]:
        effects, follower = self._follow(beat.epoch, sender, at)
        if follower is None:
            self._commit_stage(beat)
            return effects
        effects += follower.heartbeat(beat, via, at) + self._serve(beat.serving)
        return effects + self._commit_to(follower.leader_commit) + self._soon_flush()

    def _follow(self, epoch: Epoch, sender: Member, at: float) -> tuple[list[Effect], Followership | None]:
        """The fence (R8): only the view that this member promised and accepted is followed (R7)."""
        effects: list[Effect] = []
        accepted = self.promise.accepted
        if (
            self.promise.active is None
            and accepted is not None
            and (epoch, sender) == (accepted.epoch, accepted.leader)
        ):
            effects = self._resume(epoch)
        active = self.promise.active
        if active is not None and epoch == active.epoch and sender == active.leader and self.followership is not None:
            return [*effects, Announce(say.LeaderHeard(sender, at))], self.followership
        return effects + self._cannot_follow(epoch, sender, at), None

    def _cannot_follow(self, epoch: Epoch, leader: Member, at: float) -> list[Effect]:
        """Say HELLO, and learn as whoever is outside the view does; at most once per heartbeat (R7)."""
        effects: list[Effect] = []
        if epoch > self.promise.promised and self.promise.active is not None:
            effects = self._freeze()
        if epoch >= self.promise.promised:
            effects.append(Announce(say.LeaderHeard(leader, at)))
        if epoch > self._led:
            self._led, self.stage.certain = epoch, 0
        if leader == self.me or not self._may_say_hello(leader, at):
            return effects
        if self._fetch is not None and epoch > self._fetch.epoch:
            self._fetch = None  # whoever asked us to install that base was overtaken
        if self.promise.promised != NO_EPOCH:
            effects.append(Send(leader, wire.Hello(self.promise.promised, self.promise.last_view)))
        if self._fetch is None and epoch == self._led:
            self._teacher = leader
            effects.append(self._ask(NO_EPOCH, leader))
        return effects

    def _may_say_hello(self, leader: Member, at: float) -> bool:
        recent = {one: said for one, said in self._hello_at.items() if at - said < 0.9 * self._settings.heartbeat_s}
        self._hello_at = recent | {leader: recent.get(leader, at)}
        return leader not in recent

    def _resume(self, epoch: Epoch) -> list[Effect]:
        view = self.promise.resume(epoch)
        if view is None or view.leader == self.me:
            return []
        self.stage.drop()
        self._led = max(self._led, epoch)
        self._fetch = self._teacher = None
        self.followership = Followership(
            view,
            self.history,
            self._settings.nack_s,
            2.5 * self._settings.heartbeat_s,
            self._settings.receive_buffer,
        )
        return [*_cluster_state(view, "follower"), Announce(say.ViewInstalled(view, leads=False))]

    def _serve(self, serving: tuple[Member, ...]) -> list[Effect]:
        if serving == self._serving:
            return []
        self._serving = serving
        return [Announce(say.ServingChanged(serving))]

    # --- commit ---

    def _commit_to(self, gseq: int) -> list[Effect]:
        self.history.commit_to(gseq)
        return [] if self._applying else self._apply()

    def _apply(self) -> list[Effect]:
        """Hand on committed entries: first to the topics, then the answers to their producers."""
        last = min(self.commit, self.applied + APPLY_ENTRIES)
        effects: list[Effect] = []
        batches: dict[tuple[int, int], list[wire.Entry]] = {}
        for gseq in range(self.applied + 1, last + 1):
            entry = self.history.log.entry(gseq)
            if entry.kind is wire.EntryKind.BATCH:
                batches.setdefault((entry.topic_id, entry.partition), []).append(entry)
            else:
                effects += _committed(batches)
                effects.append(Announce(say.DecisionCommitted(gseq, codec.decode_decision(entry.body))))
        effects += _committed(batches)
        self.applied = last
        effects += [Announce(say.Produced(one.request, one.offset)) for one in self.waiting.take_to(last)]
        if last < self.commit and not self._applying:
            self._applying = True
            effects.append(SetTimer(ApplyDue(), 0.0))
        return effects

    # --- views ---

    def _exchange(self, exchange: wire.StateExchange, candidate: Member) -> list[Effect]:
        """R2: promise and say what is held, or refuse and say what is promised."""
        before = self.promise.promised
        if not self.promise.promise(exchange.epoch):
            return [Send(candidate, wire.Refuse(exchange.epoch, self.promise.promised))]
        effects = self._freeze() if self.promise.promised > before else []
        state = wire.State(
            exchange.epoch,
            self.promise.installed,
            self.promise.attempted,
            self.promise.last_view,
            self.history.log.digest(),
        )
        return [*effects, Send(candidate, state)]

    def _freeze(self) -> list[Effect]:
        """Nothing is appended or acknowledged until an installed leader of the promised epoch speaks."""
        self.promise.step_down()
        effects: list[Effect] = self.followership.stop() if self.followership else []
        if self.leadership is not None:
            self._learners = self.leadership.learners
        self.leadership = self.followership = None
        return [*effects, Announce(say.Promised(self.promise.promised))]

    def _gather(self, gather: say.Gather) -> list[Effect]:
        self._fetch = Fetch(gather.epoch, gather.source, gather.base)
        return self._continue_fetch()

    def _install(self, install: wire.ViewInstall, candidate: Member) -> list[Effect]:
        """R6: hold the base, then accept."""
        epoch = install.view.epoch
        if epoch < self.promise.promised:
            return [Send(candidate, wire.Refuse(epoch, self.promise.promised))]
        if epoch == self.promise.last_view:  # accepted before: touch nothing
            return [Send(candidate, wire.ViewInstallAck(epoch))]
        self._fetch = Fetch(epoch, candidate, install.base, install)
        return self._continue_fetch()

    def _continue_fetch(self) -> list[Effect]:
        fetch = self._fetch
        if fetch is None:
            return []
        if fetch.epoch < self.promise.promised:  # R6: more was promised while the ranges moved
            self._fetch = None
            return []
        holder = self.stage.holder_of(fetch.base, self.history)
        if holder is None:
            return [self._ask(fetch.epoch, fetch.source)]
        self._fetch = None
        if fetch.install is None:
            return [Announce(say.Gathered(fetch.epoch))]
        return self._accept(fetch.install, holder, fetch.source)

    def _accept(self, install: wire.ViewInstall, holder: History, candidate: Member) -> list[Effect]:
        common = common_prefix(self.history.log.digest(), install.base)
        if common < self.commit:
            reason = f"{install.view} would take back committed entries {common + 1} to {self.commit}"
            return [Halt(reason)]  # R6
        was_active = self.promise.active is not None
        self.promise.promise(install.view.epoch)
        effects = self._freeze() if was_active else []
        cut = self.waiting.take_above(common)
        self._adopt(holder, install.base.end)
        self.promise.accept(install.view, install.after, install.installed)
        self.stage.drop()
        self.cluster_id = install.view.cluster_id
        effects += [_retry(waiter.request, "a new view began without this batch") for waiter in cut]
        effects.append(Send(candidate, wire.ViewInstallAck(install.view.epoch)))
        if self.me not in install.view.members:
            effects.append(Announce(say.ViewLeft(install.view)))
        return effects

    def _adopt(self, holder: History, end: int) -> None:
        commit = self.commit
        self.history = holder
        holder.truncate(end)
        holder.commit_to(commit)

    def _lead(self, resume: say.Resume) -> list[Effect]:
        view = self.promise.resume(resume.epoch)
        if view is None:
            return []
        self._teacher = None
        self.leadership = Leadership(
            view, self.me, self.history, self.waiting, self._settings.limits, self._beats_above_floor
        )
        self.leadership.learners = {one: learner for one, learner in self._learners.items() if one not in view.members}
        for member in resume.acked:
            self.leadership.tally.ack(member, view.base)
        effects = [*_cluster_state(view, "leader"), Announce(say.ViewInstalled(view, leads=True))]
        return effects + self._soon_flush()

    def _step_aside(self) -> list[Effect]:
        leadership = self.leadership
        if leadership is None:
            return [Announce(say.SteppedAside(NO_EPOCH, None))]
        successor = leadership.tally.best_follower()
        return [*self._freeze(), Announce(say.SteppedAside(leadership.view.epoch, successor))]

    # --- learning and teaching ---

    def _learn_from(self, command: say.LearnFrom) -> list[Effect]:
        self.cluster_id, self._teacher = command.cluster_id, command.leader
        return [self._ask(NO_EPOCH, command.leader)]

    def _ask(self, epoch: Epoch, whom: Member) -> Effect:
        return Send(whom, wire.Learn(epoch, self.stage.digest(self.history)))

    def _teach(self, learn: wire.Learn, learner: Member, at: float) -> list[Effect]:
        if learn.epoch == NO_EPOCH:
            if self.leadership is not None:
                return self.leadership.teach(learner, learn.digest, at)
            self._learners = still_heard(self._learners, at) | {learner: Learner(0, at)}
            return []
        staged = self.stage.history
        source = staged if staged is not None and staged.end > self.history.end else self.history
        common = common_prefix(source.log.digest(), learn.digest)
        return [Send(learner, catch_up(source, learn.epoch, common, source.end))]

    def _learn(self, slice_: wire.CatchUp, sender: Member) -> list[Effect]:
        """A slice came: stage it, and go on."""
        fetch = self._fetch
        if fetch is not None and (slice_.epoch, sender) == (fetch.epoch, fetch.source):
            return self._continue_fetch() if self.stage.add(self.history, slice_) else []
        if fetch is not None or self.promise.active is not None or sender != self._teacher or slice_.epoch != NO_EPOCH:
            return []
        return [self._ask(NO_EPOCH, sender)] if self.stage.add(self.history, slice_) else []

    def _commit_stage(self, beat: wire.Heartbeat) -> None:
        """What the leader says is committed will not be taken back from the stage either."""
        if beat.epoch == self._led and beat.epoch > self.promise.last_view:
            self.stage.commit_to(beat.commit)

    def _introduce(self, command: say.Introduce) -> list[Effect]:
        view = self.promise.installed or self.promise.accepted
        if view is None:
            return []
        empty = not self.history.topics
        if not command.to:
            return [BroadcastEffect(wire.Present(self.me, self.cluster_id, self.history.end, empty))]
        answer = wire.JoinResponse(
            self.me,
            self.cluster_id,
            view.leader if command.leader_heard else None,
            view.members,
            self.promise.promised,
            self.history.end,
            empty,
            command.refusal,
        )
        return [Unicast(command.to, answer)]

    # --- invariants ---

    def check_invariants(self) -> None:
        """Raise LocalProtocolError if a sentence of the protocol does not hold here."""
        self.promise.check_invariants()
        if not self.applied <= self.commit <= self.history.end:
            raise LocalProtocolError(f"applied {self.applied}, commit {self.commit}, end {self.history.end}")
        if self.leadership is not None and self.followership is not None:
            raise LocalProtocolError("leading and following at once")
        if (self.leadership or self.followership) and self.promise.active is None:
            raise LocalProtocolError("a role without an active view")


def _committed(batches: dict[tuple[int, int], list[wire.Entry]]) -> list[Effect]:
    effects: list[Effect] = [
        Announce(say.Committed(topic_id, partition, tuple(entries)))
        for (topic_id, partition), entries in batches.items()
    ]
    batches.clear()
    return effects


def _retry(request: int, text: str) -> Effect:
    return Announce(say.Rejected(request, ErrorCode.RETRY, text))


def _cluster_state(view: View, role: str) -> list[Effect]:
    members = ", ".join(member.node_id for member in view.members)
    fields: dict[str, object] = {"view": view.epoch.n, "leader": view.leader.node_id, "members": members, "role": role}
    return [Note("ClusterState", fields)]
