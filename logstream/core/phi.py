"""Phi accrual: how surprising is this silence? After Hayashibara et al., "The phi accrual failure detector", 2004.

    phi(silence) = -log10( P(an interval is longer than this silence) )

for normally distributed intervals with the mean and deviation of the last thousand. Phi 1 would be
wrong one time in ten, phi 8 one in a hundred million; on this scale suspicion (8) and failure (10) are
5.61 and 6.36 deviations beyond the expected interval, so they lie close together.

Three values keep it sober, each with a price:

- the deviation floor: a steady network would make phi jump at the first late packet; a higher floor
  detects later;
- the acceptable pause, added to the mean: how long a healthy peer may be silent (a collection, a busy
  disk); it is simply added to the time of detection;
- the fallback: with no history, and in any case, silence of this length is failure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import erfc, inf, log10, sqrt
from statistics import NormalDist

WINDOW = 1000  # intervals


def deviations(phi: float) -> float:
    """How many deviations beyond the expected interval a silence of this phi is."""
    return -NormalDist().inv_cdf(10.0**-phi)


@dataclass(frozen=True, slots=True)
class PhiSettings:
    """What a detector is told; times in seconds."""

    heartbeat_s: float = 0.25
    deviation_floor_s: float = 0.1
    acceptable_pause_s: float = 0.75
    suspect: float = 8.0
    fail: float = 10.0
    fallback_s: float = 15.0

    @property
    def patience_s(self) -> float:
        """The shortest silence, in seconds, that can make anybody suspect."""
        steady = self.heartbeat_s / 2 + self.acceptable_pause_s + deviations(self.suspect) * self.deviation_floor_s
        return min(steady, self.fallback_s)

    @property
    def fail_s(self) -> float:
        """The silence, in seconds, after which a peer with a steady heartbeat has failed."""
        return min(
            self.heartbeat_s + self.acceptable_pause_s + deviations(self.fail) * self.deviation_floor_s, self.fallback_s
        )


class PhiAccrual:
    """The silence of one peer.

    Any message ends a silence. Intervals are sampled from messages that are at least half a heartbeat
    apart, so that a busy peer, which says a thousand things a second, is not expected to go on so.
    """

    def __init__(self, settings: PhiSettings, at: float) -> None:
        self._settings = settings
        self._intervals: deque[float] = deque(maxlen=WINDOW)
        self._sum = self._squares = 0.0
        self._sampled_at = self.heard_at = at

    def heard(self, at: float) -> None:
        """The peer said something at this time."""
        interval = at - self._sampled_at
        if interval >= self._settings.heartbeat_s / 2:
            if self._alive(interval, at):  # how long it was dead says nothing about its heartbeat
                self._sample(interval)
            self._sampled_at = at
        self.heard_at = max(self.heard_at, at)

    def _alive(self, interval: float, at: float) -> bool:
        """Was this silence one of a living peer? Without history it may be one that was not listened to before."""
        return self.phi(at) < self._settings.fail if self._intervals else interval < self._settings.fail_s

    def restart(self, at: float) -> None:
        """A full period anew: it was this process that did not listen (R14)."""
        self._sampled_at = self.heard_at = at

    def phi(self, at: float) -> float:
        """How surprising the silence is by now; infinite at the fallback, 0 without history before it."""
        silence = at - self.heard_at
        if silence >= self._settings.fallback_s:
            return inf
        if not self._intervals:
            return 0.0
        mean, deviation = self._shape()
        later = erfc((silence - mean - self._settings.acceptable_pause_s) / (deviation * sqrt(2))) / 2
        return -log10(later) if later > 0 else inf

    def _shape(self) -> tuple[float, float]:
        count = len(self._intervals)
        mean = self._sum / count
        variance = max(self._squares / count - mean * mean, 0.0)
        return mean, max(sqrt(variance), self._settings.deviation_floor_s)

    def _sample(self, interval: float) -> None:
        if len(self._intervals) == WINDOW:
            oldest = self._intervals[0]
            self._sum -= oldest
            self._squares -= oldest * oldest
        self._intervals.append(interval)
        self._sum += interval
        self._squares += interval * interval
