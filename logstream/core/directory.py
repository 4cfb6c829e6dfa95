"""Directory: whom a client asks for METADATA, and which cluster it belongs to. A part of both client cores.

Any broker answers METADATA, so a client needs one that lives and hears a leader. It stays with the
broker that answered last; one that is silent for half a second, broken, or leaderless (R13) makes it
ask the next. One question is under way at a time:

    idle --ask--> asking --answered--> idle
                  asking --missed, or MetadataDue--> idle; MetadataDue --> the core asks the next one

A broker that was not asked in this round is asked at once; when all have been, a back-off begins, and
the host is told to look for the cluster again, as at the start: while a client has nothing to say, every
broker that it knows may be replaced. While it has, it asks anew every few seconds who is there, so that
brokers that come and go one by one never leave it with dead addresses only.

Only the leader's word is final where something seems not to exist: a follower may simply be behind.

A client belongs to the first cluster that served its topic, by cluster_id and lineage (R12). A broker
that names another cluster and does not have the topic may be a node that has just started and not
found its cluster yet; that is believed only when it lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from logstream.core.client_effects import Request, SeekCluster
from logstream.core.effects import SetTimer
from logstream.protocol.errors import DataLost, LogStreamError, OtherCluster
from logstream.protocol.identity import NO_EPOCH, Epoch
from logstream.protocol.messages import ClientResponse, InvalidRequestResponse, Metadata, MetadataResponse

MISSING_S = 3.0  # longer than the lease of a leader that was overtaken and does not know it yet
ANSWER_S = 0.5  # without an answer for so long, another broker is asked
BACK_OFF_S = 0.02  # the first one at most; random, doubling
BACK_OFF_MAX_S = 0.2
ROUND_MAX_S = 1.0  # between questions that nobody can answer
REFRESH_S = 5.0  # after which an answer counts as old
SEEK_EVERY = 5  # fruitless questions in a row, all brokers having been asked, between two searches
STRANGER_S = 5.0  # how long a cluster without our topic must answer before it is believed to be the one

Asking = list[Request | SetTimer | SeekCluster]


@dataclass(frozen=True, slots=True)
class MetadataDue:
    """Timer: METADATA was not answered in time, or it is time to ask the next one."""


def back_off(random: Random, times: int, max_s: float = BACK_OFF_MAX_S) -> float:
    """Seconds to wait after trouble, so many times in a row; short at first, because most trouble is soon over."""
    longest_s = min(BACK_OFF_S * 2.0 ** min(times - 1, 10), max_s)
    return random.uniform(longest_s / 2, longest_s)


class Directory:
    """Brokers, the question under way, and the cluster's identity."""

    def __init__(self, bootstrap: Sequence[str], number: Callable[[], int], random: Random) -> None:
        self.brokers = list(dict.fromkeys(bootstrap))  # the one to ask first comes first
        self._bootstrap = tuple(self.brokers)
        self._number = number
        self._random = random
        self._resting = False
        self._misses = 0  # back-offs in a row
        self._missed: set[str] = set()  # brokers that could not say, since one could
        self._fruitless = 0  # questions since all brokers are among them
        self._seeking = False
        self._learned_at = 0.0
        self._missing_since: dict[str, float] = {}  # topics that a leader did not know when it was asked
        self._stranger_since: float | None = None
        self.correlation = 0  # of the question under way; 0 when there is none
        self.asked = ""  # whom it went to
        self.reason = ""  # why the last question brought nothing, for a person
        self.cluster_id = ""
        self.lineage: Epoch = NO_EPOCH

    # --- asking ---

    def ask(self, topics: tuple[str, ...], create: bool, avoid: str = "") -> Asking:
        """Ask for these topics, unless a question is under way or its back-off is not over."""
        if self.correlation or self._resting or not self.brokers:
            return []
        if self.brokers[0] == avoid:
            self._last(avoid)
        self.asked, self.correlation = self.brokers[0], self._number()
        return [Request(self.asked, self.correlation, Metadata(topics, create)), SetTimer(MetadataDue(), ANSWER_S)]

    def due(self) -> Asking:
        """MetadataDue came: whoever was asked is passed over, and the core may ask again."""
        self._resting = False
        if not self.correlation:
            return []
        return self._passed_over(f"{self.asked} does not answer")

    def missed(self, reason: str) -> Asking:
        """The question brought nothing: the core asks the next broker on MetadataDue, at once if it is a fresh one."""
        effects = self._passed_over(reason)
        return effects + self._rest(fresh=self.brokers[0] not in self._missed)

    def refused(self, answer: ClientResponse) -> Asking:
        """Whoever was asked has no answer to METADATA: it belongs to another cluster, or is no broker at all."""
        text = answer.text if isinstance(answer, InvalidRequestResponse) else "it does not understand METADATA"
        return self.missed(f"{self.asked}: {text}")

    def is_missing(self, topic: str, at: float) -> bool:
        """A leader knows no such topic: is there none? One that was overtaken may say so until its lease ends."""
        return at - self._missing_since.setdefault(topic, at) >= MISSING_S

    def exists(self, topic: str) -> None:
        """A broker knows this topic."""
        self._missing_since.pop(topic, None)

    def again_later(self, reason: str) -> Asking:
        """The leader itself cannot say yet: rest, then the core asks it again on MetadataDue."""
        self.reason = reason
        self._somebody_answers()
        return self._rest()

    def served(self) -> None:
        """The answer had all that was asked for."""
        self._misses = 0
        self._somebody_answers()

    def refer(self, address: str) -> Asking:
        """Only this one, the leader, can say: the core asks again, at once the first time, then after a rest."""
        self.brokers = list(dict.fromkeys([address, *self.brokers]))
        if self._misses:
            return self._rest()
        self._misses = 1
        return []

    def sought(self, addresses: Sequence[str]) -> None:
        """The cluster was looked for again: those found are asked first."""
        self._seeking = False
        self.brokers = list(dict.fromkeys([*addresses, *self.brokers]))

    def _rest(self, fresh: bool = False) -> Asking:
        self._resting = True
        if fresh:
            return [SetTimer(MetadataDue(), 0.0)]
        self._misses += 1
        return [SetTimer(MetadataDue(), back_off(self._random, self._misses, ROUND_MAX_S))]

    def _passed_over(self, reason: str) -> Asking:
        """Note who could not say; when nobody can, have the cluster looked for, now and then."""
        self.reason, self.correlation = reason, 0
        self._missed.add(self.asked)
        self._last(self.asked)
        if not self._missed.issuperset(self.brokers):
            return []
        self._fruitless += 1
        if self._seeking or self._fruitless % SEEK_EVERY != 1:
            return []
        self._seeking = True
        return [SeekCluster()]

    def _somebody_answers(self) -> None:
        self._missed.clear()
        self._fruitless = 0

    def _last(self, address: str) -> None:
        """Ask this one after all others."""
        self.brokers.remove(address)
        self.brokers.append(address)

    # --- answers ---

    def answered(self, response: MetadataResponse, at: float) -> None:
        """Learn the brokers of an answer. Bootstrap addresses are kept as the last ones to ask."""
        self.correlation = 0
        if response.leader is not None:
            self._learned_at = at
        known = [broker.address for broker in response.brokers if broker.address]
        self.brokers = list(dict.fromkeys([self.asked, *known, *self._bootstrap]))

    def is_old(self, at: float) -> bool:
        """Is it so long ago that somebody said who is there?"""
        return at - self._learned_at >= REFRESH_S

    def is_final(self, response: MetadataResponse) -> bool:
        """Is this the leader's own word?"""
        return response.leader is not None and response.leader.address == self.asked

    def judge(self, cluster_id: str, lineage: Epoch, serves: bool, at: float) -> tuple[bool, LogStreamError | None]:
        """Does an answer of this identity count, and does it mean that the old cluster is lost to us?

        `serves` says that whoever answered has our topic.
        """
        if not cluster_id:
            return True, None
        if not self.cluster_id or (cluster_id, lineage) == (self.cluster_id, self.lineage):
            if serves:
                self.cluster_id, self.lineage, self._stranger_since = cluster_id, lineage, None
            return True, None
        if cluster_id == self.cluster_id and lineage < self.lineage:
            return False, None
        if not serves and not self._lasts(at):
            return False, None
        error = self._difference(cluster_id)
        self.cluster_id, self.lineage, self._stranger_since = cluster_id, lineage, None
        return True, error

    def _lasts(self, at: float) -> bool:
        if self._stranger_since is None:
            self._stranger_since = at
        return at - self._stranger_since >= STRANGER_S

    def _difference(self, cluster_id: str) -> LogStreamError:
        if cluster_id == self.cluster_id:
            return DataLost(f"cluster {cluster_id} was continued by force: records that it acknowledged may be missing")
        return OtherCluster(f"cluster {cluster_id} answers where cluster {self.cluster_id} was")
