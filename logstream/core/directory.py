"""Directory: whom a client asks for METADATA, and which cluster it belongs to. A part of both client cores.

Any broker answers METADATA, so a client needs one that lives and hears a leader. It stays with the
broker that answered last; one that is silent for half a second, broken, or leaderless (R13) makes it
ask the next. One question is under way at a time:

    idle --ask--> asking --answered--> idle
                  asking --missed, or MetadataDue--> idle, MetadataDue after a back-off --> the core asks again

Only the leader's word is final where something seems not to exist: a follower may simply be behind.

A client belongs to the first cluster that served its topic, by cluster_id and lineage (R12). A broker
that names another cluster and does not have the topic may be a node that has just started and not
found its cluster yet; that is believed only when it lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from logstream.core.client_effects import Request
from logstream.core.effects import SetTimer
from logstream.protocol.errors import DataLost, LogStreamError, OtherCluster
from logstream.protocol.identity import NO_EPOCH, Epoch
from logstream.protocol.messages import Metadata, MetadataResponse

ANSWER_S = 0.5  # without an answer for so long, another broker is asked
BACK_OFF_S = (0.02, 0.2)
MISSES_MAX = 5  # the back-off grows up to so many times
STRANGER_S = 5.0  # how long a cluster without our topic must answer before it is believed to be the one


@dataclass(frozen=True, slots=True)
class MetadataDue:
    """Timer: METADATA was not answered in time, or the back-off after a failure is over."""


class Directory:
    """Brokers, the question under way, and the cluster's identity."""

    def __init__(self, bootstrap: Sequence[str], number: Callable[[], int], random: Random) -> None:
        self.brokers = list(dict.fromkeys(bootstrap))  # the one to ask first comes first
        self._bootstrap = tuple(self.brokers)
        self._number = number
        self._random = random
        self._resting = False
        self._misses = 0  # in a row
        self._stranger_since: float | None = None
        self.correlation = 0  # of the question under way; 0 when there is none
        self.asked = ""  # whom it went to
        self.reason = ""  # why the last question brought nothing, for a person
        self.cluster_id = ""
        self.lineage: Epoch = NO_EPOCH

    def ask(self, topics: tuple[str, ...], create: bool, avoid: str = "") -> list[Request | SetTimer]:
        """Ask for these topics, unless a question is under way or its back-off is not over."""
        if self.correlation or self._resting or not self.brokers:
            return []
        if self.brokers[0] == avoid:
            self._next()
        self.asked, self.correlation = self.brokers[0], self._number()
        return [Request(self.asked, self.correlation, Metadata(topics, create)), SetTimer(MetadataDue(), ANSWER_S)]

    def due(self) -> None:
        """MetadataDue came: whoever was asked is passed over, and the core may ask again."""
        if self.correlation:
            self.reason = f"{self.asked} does not answer"
            self.correlation = 0
            self._next()
        self._resting = False

    def missed(self, reason: str) -> list[Request | SetTimer]:
        """The question brought nothing: rest, then the core asks the next broker on MetadataDue."""
        self.reason, self.correlation = reason, 0
        self._next()
        return self._rest()

    def again_later(self, reason: str) -> list[Request | SetTimer]:
        """The leader itself cannot say yet: rest, then the core asks it again on MetadataDue."""
        self.reason = reason
        return self._rest()

    def served(self) -> None:
        """The answer had all that was asked for."""
        self._misses = 0

    def refer(self, address: str) -> list[Request | SetTimer]:
        """Only this one, the leader, can say: the core asks again, at once the first time, then after a rest."""
        self.brokers = list(dict.fromkeys([address, *self.brokers]))
        if self._misses:
            return self._rest()
        self._misses = 1
        return []

    def _rest(self) -> list[Request | SetTimer]:
        self._resting = True
        self._misses += 1
        return [SetTimer(MetadataDue(), self._random.uniform(*BACK_OFF_S) * min(self._misses, MISSES_MAX))]

    def answered(self, response: MetadataResponse) -> None:
        """Learn the brokers of an answer. Bootstrap addresses are kept as the last ones to ask."""
        self.correlation = 0
        known = [broker.address for broker in response.brokers if broker.address]
        self.brokers = list(dict.fromkeys([self.asked, *known, *self._bootstrap]))

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

    def _next(self) -> None:
        self.brokers.append(self.brokers.pop(0))
