"""Replica: the one owner of promise, log, holdback, dedup, append, ack and commit (R21).

Everything that can lose a record happens here, in one place, one message after the other:

              STATE_EXCHANGE      VIEW_INSTALL          HEARTBEAT, Resume
    any role ---------------> frozen ------------> attempted ------------> follower or leader

A Replica is put together from plain parts: Promise (which view), History (log and its tables), Learning
(another history being fetched), Applying (what is handed on of the commit), and while a view is active
one of Leadership and Followership. The Replica itself only decides which part hears what, fences (R8),
and raises commit.

Elsewhere: who becomes a candidate and when it has enough answers (view_change), who is alive
(failure_detector), what clients see (gateway, topic_log).
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.core.effects import Announce, Effect, Halt, Send, SetTimer
from logstream.core.events import Due, LinkDown, LinkUp, Received, Via
from logstream.core.replica import vocabulary as say
from logstream.core.replica.applying import ApplyDue, Applying
from logstream.core.replica.followership import Followership, NackDue
from logstream.core.replica.gathering import Gatherer
from logstream.core.replica.history import History
from logstream.core.replica.introduction import Hellos, cluster_state, introduction
from logstream.core.replica.leadership import Leadership, Learner, ReplicaSettings, retry, still_heard
from logstream.core.replica.learning import Fetch, Learning
from logstream.core.replica.log import common_prefix
from logstream.core.replica.promise import Promise
from logstream.core.replica.trimming import TrimDue, Trimming
from logstream.core.replica.waiting import Waiting
from logstream.protocol import messages as wire
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import NO_EPOCH, Epoch, Member


@dataclass(frozen=True, slots=True)
class FlushDue:
    """The turn's messages are handled: send what has gathered."""


class Replica:
    """One member's copy of the log."""

    def __init__(self, me: Member, settings: ReplicaSettings) -> None:
        self.me = me
        self.promise = Promise(me)
        self.history = History()
        self.learning = Learning()
        self.waiting = Waiting()
        self.leadership: Leadership | None = None
        self.followership: Followership | None = None
        self.applying = Applying()
        self.trimming = Trimming(self.history, settings.limits.memory_max)
        self.cluster_id = ""
        self._settings = settings
        self._serving: tuple[Member, ...] = ()
        self._flushing = False
        self._hellos = Hellos(settings.heartbeat_s)
        self._learners: dict[Member, Learner] = {}  # while nobody leads here
        self._beats_above_floor = 0
        self.gatherer = Gatherer()

    @property
    def commit(self) -> int:
        """The highest gseq that this member knows to be committed."""
        return self.history.commit

    def handle(self, event: object) -> list[Effect]:
        """One event; raises RemoteProtocolError for what a peer may not say."""
        match event:
            case Received(sender=Member() as sender):
                return self._hear(event, sender)
            case say.Propose() | say.ProposeDecision():
                return self._propose(event)
            case Due(timer=FlushDue(), at=at):
                return self._flush(at)
            case Due(timer=ApplyDue()):
                return self.applying.due(self.history, self.waiting) + self._base_applied()
            case Due(timer=TrimDue(), at=at):
                return self.trimming.due(self.applying.applied, at)
            case Due(timer=NackDue()):
                return self.followership.nack_due() if self.followership else []
            case say.Beat():
                return self._beat(event)
            case _:
                return self._obey(event)

    def _obey(self, event: object) -> list[Effect]:
        match event:
            case say.Gather():
                return self.gatherer.begin(event, self.learning, self.history, self.promise.promised)
            case say.Resume():
                return self._lead(event)
            case say.StepAside():
                return self._step_aside(event)
            case say.LearnFrom():
                return self._learn_from(event)
            case say.Introduce():
                return self._introduce(event)
            case say.OtherClusterHeard(at=at):
                if self.leadership:
                    self.leadership.other_cluster_at = at
                return []
            case say.DropIdentity():
                return [Announce(say.IdentityKept())] if self.history.topics else self._drop_identity()
            case LinkUp() | LinkDown():
                return self._link_changed(event)
            case _:
                raise LocalProtocolError(f"the Replica cannot handle {event!r}")

    def _hear(self, received: Received, sender: Member) -> list[Effect]:
        at, homeless = received.at, received.cluster_id and not self.cluster_id
        if homeless and isinstance(received.message, wire.Heartbeat | wire.Replicate):
            # R20: some cluster's, maybe not the one that we will join
            return [Announce(say.LeaderHeard(sender, at)), Announce(say.LeaderOverheard())]
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
            case wire.Snapshot() as snapshot:
                return self._learn(snapshot, sender)
            case wire.StateExchange() as exchange:
                return self._exchange(exchange, sender)
            case wire.ViewInstall() as install:
                return self._install(install, sender)
            case _:
                raise LocalProtocolError(f"the Replica cannot handle {received.message!r}")

    # --- leading ---

    def _propose(self, proposal: say.Propose | say.ProposeDecision) -> list[Effect]:
        if self.leadership is None:
            return [retry(proposal.request, "this broker does not lead")]
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
        if self.leadership.lease_is_over(beat.at):
            return self._step_down(beat.at)
        effects = self.leadership.beat(beat.serving, self.commit, beat.at)
        self._beats_above_floor = self.leadership.beats_above_floor
        return effects + self._serve(beat.serving) + self._soon_flush() + self.trimming.wake()

    def _flush(self, at: float) -> list[Effect]:
        self._flushing = False
        if self.leadership is not None:
            self.leadership.trim(self.trimming, at)
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

    def _link_changed(self, event: LinkUp | LinkDown) -> list[Effect]:
        if self.leadership is None:
            return []
        self.leadership.outflow.link_changed(event)
        return self._soon_flush()

    # --- following ---

    def _replicate(self, message: wire.Replicate, sender: Member, via: Via, at: float) -> list[Effect]:
        if message.lineage < self.promise.lineage:
            return self._correct(sender, at)
        effects, follower = self._follow(message.epoch, sender, at)
        if follower is None:
            return effects
        effects += follower.replicate(message, via, at)
        return effects + self._commit_to(follower.leader_commit) + self._soon_flush()

    def _heartbeat(self, beat: wire.Heartbeat, sender: Member, via: Via, at: float) -> list[Effect]:
        if beat.lineage < self.promise.lineage:
            return self._correct(sender, at)
        if self.promise.is_overruled_by(beat.lineage, beat.epoch) and self.me not in beat.serving:
            return self._drop_identity()
        effects, follower = self._follow(beat.epoch, sender, at)
        if follower is None:
            if beat.epoch > self.promise.last_view:
                self.learning.commit_stage(beat.epoch, beat.commit)
            return effects
        effects += follower.heartbeat(beat, via, at) + self._serve(beat.serving) + self.trimming.wake()
        return effects + self._commit_to(follower.leader_commit) + self._soon_flush()

    def _correct(self, leader: Member, at: float) -> list[Effect]:
        """Force-view: a leader of a lower lineage is not heard; the one of the forced view lets it know of that."""
        beat = self.leadership.last_beat if self.leadership is not None else None
        return [Send(leader, beat)] if beat is not None and self._hellos.due(leader, at) else []

    def _follow(self, epoch: Epoch, sender: Member, at: float) -> tuple[list[Effect], Followership | None]:
        """The fence (R8): only the view that this member promised and accepted is followed (R7)."""
        effects: list[Effect] = []
        accepted = self.promise.accepted
        offered = accepted is not None and (epoch, sender) == (accepted.epoch, accepted.leader)
        if self.promise.active is None and offered:
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
            effects += [Announce(say.LeaderHeard(leader, at)), Announce(say.LeaderOverheard())]
        self.learning.heard(epoch)
        if leader == self.me or not self._hellos.due(leader, at):
            return effects
        self.learning.overtaken(epoch, self.me)
        if self.promise.promised != NO_EPOCH:
            effects.append(Send(leader, wire.Hello(self.promise.promised, self.promise.last_view)))
        if self.learning.fetch is None and epoch == self.learning.led:
            effects.append(self.learning.learn_from(leader, self.history))
        return effects

    def _resume(self, epoch: Epoch) -> list[Effect]:
        view = self.promise.resume(epoch)
        if view is None or view.leader == self.me:
            return []
        self.learning.joined(epoch)
        nack_s, hearing_s = self._settings.nack_s, 2.5 * self._settings.heartbeat_s
        self.followership = Followership(view, self.history, nack_s, hearing_s, self._settings.receive_buffer)
        effects = [cluster_state(view, "follower"), self._views_known()]
        return [*effects, Announce(say.ViewInstalled(view, leads=False))]

    def _views_known(self) -> Effect:
        return Announce(say.ViewsKnown(self.promise.installed, self.promise.attempted))

    def _serve(self, serving: tuple[Member, ...]) -> list[Effect]:
        if serving == self._serving:
            return []
        self._serving = serving
        return [Announce(say.ServingChanged(serving))]

    # --- commit ---

    def _commit_to(self, gseq: int) -> list[Effect]:
        self.history.commit_to(gseq)
        effects = self.applying.commit_moved(self.history, self.waiting)
        trims = self.trimming.wake() if self.applying.last_trim > self.trimming.noted else []
        return effects + trims + self._base_applied()

    def _base_applied(self) -> list[Effect]:
        """Whoever leads says so once when its topics know all of the view's base."""
        leadership = self.leadership
        if leadership is None or leadership.base_applied or self.applying.applied < leadership.view.base:
            return []
        leadership.base_applied = True
        return [Announce(say.BaseApplied(leadership.view.epoch))]

    # --- views ---

    def _exchange(self, exchange: wire.StateExchange, candidate: Member) -> list[Effect]:
        """R2: promise and say what is held, or refuse and say what is promised."""
        known = exchange.installed
        if known is not None and known.lineage < self.promise.lineage:
            return []
        if known is not None and self.promise.is_overruled_by(known.lineage, known.epoch):
            return self._drop_identity()
        before = self.promise.promised
        if not self.promise.promise(exchange.epoch):
            return [Send(candidate, wire.Refuse(exchange.epoch, self.promise.promised))]
        effects = self._freeze() if self.promise.promised > before else []
        state = self.promise.state(self.history.log.digest())
        return [*effects, Announce(say.CandidateHeard(exchange.epoch)), Send(candidate, state)]

    def _drop_identity(self) -> list[Effect]:
        return [*self._freeze(), Announce(say.IdentityDropped())]

    def _freeze(self) -> list[Effect]:
        """Nothing is appended or acknowledged until an installed leader of the promised epoch speaks."""
        self.promise.step_down()
        effects: list[Effect] = self.followership.stop() if self.followership else []
        if self.leadership is not None:
            self._learners = self.leadership.learners
        self.leadership = self.followership = None
        return [*effects, Announce(say.Promised(self.promise.promised))]

    def _install(self, install: wire.ViewInstall, candidate: Member) -> list[Effect]:
        """R6: hold the base, then accept."""
        if install.view.lineage < self.promise.lineage:
            return []
        epoch = install.view.epoch
        above = max(self.promise.promised, self.learning.led)  # a view below one that is installed comes too late
        if epoch < above:
            return [Send(candidate, wire.Refuse(epoch, above))]
        if epoch == self.promise.last_view:  # accepted before: touch nothing
            return [Send(candidate, wire.ViewInstallAck(epoch))]
        self.learning.fetch = Fetch(epoch, candidate, install.base, install)
        return [Announce(say.CandidateHeard(epoch)), *self._continue_fetch()]

    def _continue_fetch(self) -> list[Effect]:
        effects, fetched = self.learning.continue_fetch(self.history, self.promise.promised)
        if fetched is None:
            return effects
        fetch, holder = fetched
        return self._accept(fetch.install, holder, fetch.source)

    def _accept(self, install: wire.ViewInstall, holder: History, candidate: Member) -> list[Effect]:
        common = common_prefix(self.history.log.digest(), install.base)
        if max(common, install.base.start - 1) < self.commit:  # below a start everything was committed (R22)
            if install.view.lineage > self.promise.lineage:  # force-view: the operator accepted this loss
                return [Announce(say.IdentityDropped())]
            reason = f"{install.view} would take back committed entries {common + 1} to {self.commit}"
            return [Halt(reason)]  # R6
        rises = install.view.epoch > self.promise.promised
        self.promise.promise(install.view.epoch)
        effects = self._freeze() if rises else []
        cut = self.waiting.take_above(common)
        ahead = install.view.epoch == self.learning.led  # this view's leader was heard: what it committed since stays
        self._adopt(holder, max(install.base.end, holder.commit) if ahead else install.base.end)
        self.promise.accept(install.view, install.after, install.installed)
        self.learning.accepted(install.view.epoch)
        self.cluster_id = install.view.cluster_id
        effects += [retry(waiter.request, "a new view began without this batch") for waiter in cut]
        effects += [self._views_known(), Send(candidate, wire.ViewInstallAck(install.view.epoch))]
        if self.me not in install.view.members:
            effects.append(Announce(say.ViewLeft(install.view)))
        return effects

    def _adopt(self, holder: History, end: int) -> None:
        commit = self.commit
        holder.truncate(end)
        holder.commit_to(commit)
        self._hold(holder)

    def _hold(self, history: History) -> None:
        if history is not self.history:
            self.history = history
            self.trimming.begin(history)

    def _lead(self, resume: say.Resume) -> list[Effect]:
        view = self.promise.resume(resume.epoch)
        if view is None:
            return []
        self.learning.teacher = self.learning.proposed = None
        self.trimming.joined(view.members)
        limits, beats = self._settings.limits, self._beats_above_floor
        self.leadership = Leadership(view, self.me, self.history, self.waiting, limits, beats)
        self.leadership.learners = {one: learner for one, learner in self._learners.items() if one not in view.members}
        self.leadership.begin(resume.acked)
        effects = [cluster_state(view, "leader"), self._views_known(), Announce(say.ViewInstalled(view, leads=True))]
        return effects + self._soon_flush()

    def _step_down(self, at: float) -> list[Effect]:
        """R14: without a majority's acks for the lease this leader leads no more, and says so."""
        waiters = self.waiting.take_above(0)
        effects = [retry(waiter.request, "the leader lost its majority") for waiter in waiters]
        return [*self._freeze(), *effects, Announce(say.SteppedDown(at))]

    def _step_aside(self, command: say.StepAside) -> list[Effect]:
        leadership = self.leadership
        if leadership is None:
            return [Announce(say.SteppedAside(NO_EPOCH, None))]
        successor = command.target or leadership.tally.best_follower(command.heard)
        return [*self._freeze(), Announce(say.SteppedAside(leadership.view.epoch, successor))]

    # --- learning and teaching ---

    def _learn_from(self, command: say.LearnFrom) -> list[Effect]:
        self.cluster_id = command.cluster_id
        if self.leadership is not None:
            return []
        effects = self._freeze() if self.promise.active is not None else []  # it went on without us
        return [*effects, self.learning.learn_from(command.leader, self.history)]

    def _teach(self, learn: wire.Learn, learner: Member, at: float) -> list[Effect]:
        self.trimming.taught(learner, learn.digest, at)
        if learn.epoch == NO_EPOCH:
            if self.leadership is not None:
                return self.leadership.teach(learner, learn, at)
            self._learners = still_heard(self._learners, at) | {learner: Learner(0, at)}
            return []
        return self.learning.answer(learn, learner, self.history, self.promise.last_view)

    def _learn(self, slice_: wire.CatchUp | wire.Snapshot, sender: Member) -> list[Effect]:
        """A slice came: stage it, and go on."""
        if self.gatherer.awaits(slice_):
            return self.gatherer.hear(slice_, sender, self.learning, self.history, self.promise.promised)
        if self.learning.fetches(slice_, sender):
            return self._continue_fetch() if self.learning.take(slice_, self.history) else []
        if self.promise.active is None:
            return self.learning.learn(slice_, sender, self.history)
        return self._take_checkpoint(slice_, sender) if isinstance(slice_, wire.Snapshot) else []

    def _take_checkpoint(self, snapshot: wire.Snapshot, sender: Member) -> list[Effect]:
        """Outside a view change a checkpoint above the own end replaces the log: a committed prefix (R16)."""
        follower = self.followership
        if follower is None or (snapshot.epoch, sender) != (follower.view.epoch, follower.view.leader):
            return []
        effects, history = self.learning.lag(snapshot, sender, self.history)
        if history is None:
            return effects
        self._hold(history)
        follower.take_over(history)
        return self._commit_to(follower.leader_commit) + self._soon_flush()

    def _introduce(self, command: say.Introduce) -> list[Effect]:
        view = self.promise.installed or self.promise.accepted
        if view is None:
            return []
        return [introduction(self.me, command, self.cluster_id, view, self.promise.promised, self.history)]

    # --- invariants ---

    def check_invariants(self) -> None:
        """Raise LocalProtocolError if a sentence of the protocol does not hold here."""
        self.promise.check_invariants()
        applied = self.applying.applied
        if not applied <= self.commit <= self.history.end:
            raise LocalProtocolError(f"applied {applied}, commit {self.commit}, end {self.history.end}")
        if self.leadership is not None and self.followership is not None:
            raise LocalProtocolError("leading and following at once")
        if (self.leadership or self.followership) and self.promise.active is None:
            raise LocalProtocolError("a role without an active view")
