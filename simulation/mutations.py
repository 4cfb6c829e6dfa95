"""Mutations: each takes one rule of the protocol away, to see whether anything notices.

A rule that can be removed without a scenario or a seed failing is a rule that nobody tests, or one that
nobody needs. `simulate --mutations` applies them one at a time, each in a process of its own, because a
mutation patches the running code and is never taken back.

Elsewhere: the first ones, about quorums and what a view begins with (view_mutations.py), what a mutation is
(mutation.py), running them and printing the table (mutation_table.py).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, cast

from logstream.core import election, quorum
from logstream.core.attempt import Attempt
from logstream.core.discovery import Discovery
from logstream.core.discovery import Phase as Looking
from logstream.core.effects import Effect, SetTimer
from logstream.core.election import Elections, Phase
from logstream.core.events import Due
from logstream.core.failure_detector import FailureDetector
from logstream.core.gateway.standing import Standing
from logstream.core.replica.applying import Applying
from logstream.core.replica.dedup import Dedup, Verdict
from logstream.core.replica.followership import Followership
from logstream.core.replica.history import History
from logstream.core.replica.leadership import Leadership
from logstream.core.replica.promise import Promise, Votes
from logstream.core.replica.replica import Replica
from logstream.core.replica.storing import Storing
from logstream.core.replica.tally import Tally
from logstream.core.replica.trimming import Trimming
from logstream.core.replica.waiting import Waiting
from logstream.core.view_change import ViewChange
from logstream.core.view_vocabulary import FoundCluster
from logstream.protocol.identity import Epoch, Member, View
from logstream.protocol.messages import StateExchange
from simulation.mutation import mutation, replace, unchecked
from simulation.view_mutations import MUTATIONS

__all__ = ["MUTATIONS"]

# --- fences ---


@mutation("no fence", "R8", "late_words_of_an_old_leader", "a follower takes REPLICATE of any epoch and sender")
def _no_fence() -> None:
    follow = Replica._follow

    def whoever(replica: Replica, epoch: Epoch, sender: Member, at: float) -> tuple[list[Effect], Followership | None]:
        if replica.followership is not None:
            return [], replica.followership
        return follow(replica, epoch, sender, at)

    replace(Replica, "_follow", whoever)


@dataclass(frozen=True, slots=True)
class _FenceDue:
    """The one who appends hears of the promise."""


@mutation(
    "fence and append in two actors",
    "R21",
    "promise_fences",
    "who promises and who appends are two: the freeze comes later",
)
def _late_fence() -> None:
    _after_promise(1.0, _FenceDue(), freezes_now=False)


@dataclass(frozen=True, slots=True)
class _ThawDue:
    """No view came of the promise."""


@mutation(
    "a timer unfreezes",
    "R7",
    "frozen_until_a_leader_speaks",
    "where no view comes of a promise in time, the old view is active again",
)
def _thaw() -> None:
    _after_promise(1.0, _ThawDue(), freezes_now=True)


def _after_promise(after_s: float, timer: Hashable, freezes_now: bool) -> None:
    """Keep what a promise ends, and end it, or begin it again, when the timer fires."""
    exchange, handle = Replica._exchange, Replica.handle
    kept: dict[Replica, tuple[Any, ...]] = {}

    def roles(replica: Replica) -> tuple[Any, ...]:
        return replica.promise.active, replica.leadership, replica.followership

    def restore(replica: Replica) -> None:
        replica.promise.active, replica.leadership, replica.followership = kept.pop(replica)

    def promising(replica: Replica, message: StateExchange, candidate: Member) -> list[Effect]:
        before = roles(replica)
        effects = exchange(replica, message, candidate)
        if before[0] is not None and replica.promise.active is None and candidate != replica.me:
            kept[replica] = before
            if not freezes_now:
                restore(replica)
            effects.append(SetTimer(timer, after_s))
        return effects

    def hearing(replica: Replica, event: object) -> list[Effect]:
        if not (isinstance(event, Due) and event.timer == timer):
            return handle(replica, event)
        active, view = replica.promise.active, replica.promise.accepted
        if not freezes_now:
            stale = active is not None and active.epoch < replica.promise.promised
            return replica._freeze() if stale else []
        if active is None and replica in kept and view == kept[replica][0]:
            restore(replica)
        return []

    replace(Replica, "_exchange", promising)
    replace(Replica, "handle", hearing)
    unchecked(Promise)


# --- commit, answers, reads ---


@mutation(
    "acknowledging early", "R10, R11", "leader_dies_before_it_replicates", "what the leader has stored is committed"
)
def _early() -> None:
    def own(tally: Tally) -> int:
        return max(*tally.match.values(), 0)

    replace(Tally, "committed", own)


@mutation("tie-break in commit", "Q9", "two_of_two", "half of the members commit if the highest is among them")
def _tie_break() -> None:
    def half(tally: Tally) -> int:
        for gseq in sorted(tally.match.values(), reverse=True):
            if quorum.enough([member for member, match in tally.match.items() if match >= gseq], tally._view):
                return max(gseq, 0)
        return 0

    replace(Tally, "committed", half)


@mutation(
    "an end is said too early",
    "R13",
    "read_to_the_end_at_a_new_leader",
    "a new leader says where its topic logs end before they hold its view's base",
)
def _early_end() -> None:
    installed = Standing.view_installed

    def knows_all(standing: Standing, view: View, leads: bool) -> None:
        installed(standing, view, leads)
        standing.knows_all = leads

    replace(Standing, "view_installed", knows_all)


@mutation(
    "dirty reads", "R13", "unacknowledged_is_not_readable", "topics are given what is appended, not what is committed"
)
def _dirty() -> None:
    apply = Applying._apply

    class Appended:
        """A history that calls everything committed."""

        def __init__(self, history: History) -> None:
            self.commit = history.end
            self.log = history.log
            self.history = history

    class Patient:
        """Producers are answered as before."""

        def __init__(self, waiting: Waiting, commit: int) -> None:
            self.take_to = lambda gseq: waiting.take_to(min(gseq, commit))

    def all_of_it(applying: Applying, history: Any, waiting: Any) -> list[Effect]:
        return apply(applying, cast(History, Appended(history)), cast(Waiting, Patient(waiting, history.commit)))

    replace(Applying, "_apply", all_of_it)
    unchecked(Replica)


@mutation("no dedup", "R12", "producer_repeats", "every batch is new")
def _no_dedup() -> None:
    def new(*_: object) -> tuple[Verdict, None]:
        return Verdict.NEW, None

    replace(Dedup, "judge", new)


@mutation(
    "dedup per producer",
    "R12",
    "one_producer_two_partitions",
    "sequences are remembered by producer, not by producer and partition",
)
def _per_producer() -> None:
    for name in ("judge", "apply"):
        replace(Dedup, name, _by_producer_alone(getattr(Dedup, name)))


def _by_producer_alone(method: Callable[..., object]) -> Callable[..., object]:
    return lambda dedup, key, *rest: method(dedup, (key[0], 0, 0), *rest)


@mutation(
    "trim before commit", "R22", "trim_is_a_decision", "a member drops what a TRIM names that is not committed yet"
)
def _early_trim() -> None:
    due = Trimming.due

    def all_of_it(trimming: Trimming, applied: int, at: float) -> list[Effect]:
        return due(trimming, trimming._history.end, at)

    replace(Trimming, "due", all_of_it)


# --- elections ---


@mutation(
    "a lone suspect stands",
    "R4",
    "one_way_from_the_leader",
    "whoever has no leader stands, without asking who else has none",
)
def _lone() -> None:
    def alone(elections: Elections, number: int) -> list[Effect]:
        return elections._win((elections.me,)) if elections.phase is Phase.PROBING else []

    replace(Elections, "_close", alone)


@mutation(
    "back-off without a ceiling",
    "R3",
    "no_quorum_and_back",
    "after each NO_QUORUM a candidate waits twice as long, without end",
)
def _no_ceiling() -> None:
    replace(election, "BACK_OFF_MAX_S", 1e9)


# --- silence ---


@mutation("no pause detection", "R14", "all_sleep_and_wake", "who has slept takes its own silence for that of others")
def _no_pause() -> None:
    def nothing(*_: object) -> None:
        return None

    replace(FailureDetector, "_restart", nothing)


@mutation(
    "no lease",
    "R14",
    "leader_sleeps_over_its_lease",
    "a leader leads on, however long nobody has acknowledged anything",
)
def _no_lease() -> None:
    def never(*_: object) -> bool:
        return False

    replace(Leadership, "lease_is_over", never)


# --- disks ---


@mutation(
    "promise not kept over a restart",
    "R2, R19",
    "promise_survives_a_restart",
    "who comes back has promised what its last view was, and no more",
)
def _promise_forgotten() -> None:
    recover = Promise.recover

    def forget(promise: Promise, votes: Votes) -> None:
        recover(promise, votes._replace(promised=votes.last_view))

    replace(Promise, "recover", forget)


@mutation(
    "a candidate asks all at once",
    "R2",
    "candidate_promises_itself_first",
    "a candidate asks the others for promises before its own is on its disk",
)
def _all_at_once() -> None:
    begin = Attempt.begin

    def ask_everybody(attempt: Attempt) -> list[Effect]:
        return [*begin(attempt), *attempt._ask_others()]

    replace(Attempt, "begin", ask_everybody)


@mutation(
    "acknowledging before the sync",
    "R9",
    "power_cut_before_the_sync",
    "a durable member acknowledges, and its leader counts, what is not on its disk yet",
)
def _unsynced() -> None:
    replace(History, "stored_end", property(lambda history: history.end))


@mutation(
    "base and last view written in the wrong order",
    "R19",
    "restart_between_log_and_votes",
    "the votes for a view are written before its base",
)
def _votes_first() -> None:
    log, votes = Storing._log, Storing._small_file
    replace(Storing, "_log", votes)
    replace(Storing, "_small_file", log)


@mutation(
    "a node with a store founds a cluster",
    "R20",
    "power_cut",
    "who comes back and finds nobody within the discovery time goes on alone",
)
def _founds_with_a_store() -> None:
    accepted, handle = Discovery._view_accepted, ViewChange.handle

    def looks_on(discovery: Discovery, views: tuple[View, ...]) -> list[Effect]:
        return [] if discovery.phase is Looking.LOOKING else accepted(discovery, views)

    def alone(change: ViewChange, event: object) -> list[Effect]:
        known = isinstance(event, FoundCluster) and change._known
        return change._start(forced=True) if known else handle(change, event)

    replace(Discovery, "_view_accepted", looks_on)
    replace(ViewChange, "handle", alone)
