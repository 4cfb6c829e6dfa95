"""Climate: what the network of one run is like, drawn from its seed.

    calm    a good LAN: nothing lost, milliseconds at most
    wet     a loaded switch or WLAN: losses, duplicates, reordering
    rough   a bad day: a fifth of the datagrams lost, delays that reorder everything

The climate is the weather that a run returns to when a fault is over; a link may have weather of its own
for a while (network.py). Datagrams are lost, doubled and reordered; streams are only late, as TCP makes them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Climate:
    """What the network does to messages; odds from 0 to 1, times in seconds."""

    loss: float = 0.0  # of a datagram
    duplication: float = 0.0
    datagram_delay_s: tuple[float, float] = (0.0001, 0.001)  # from, to: a wide range reorders
    stream_delay_s: tuple[float, float] = (0.0001, 0.001)
    multicast: bool = True
    give_up_s: float = 2.0  # how long a stream waits for a cut to heal
    clock_rates: float = 0.0  # a machine's clock runs at most so much faster or slower

    def __str__(self) -> str:
        multicast = "" if self.multicast else ", no multicast"
        delay_ms = 1000 * self.datagram_delay_s[1]
        return f"loss {self.loss:.0%}, duplicates {self.duplication:.0%}, delays to {delay_ms:.0f} ms{multicast}"


def random_climate(dice: random.Random) -> Climate:
    """The climate of one run."""
    loss, duplication, delay_s = dice.choice(
        ((0.0, 0.0, 0.001), (0.0, 0.0, 0.005), (0.02, 0.02, 0.003), (0.05, 0.1, 0.02), (0.2, 0.1, 0.01))
    )
    return Climate(
        loss=loss,
        duplication=duplication,
        datagram_delay_s=(0.0001, delay_s),
        stream_delay_s=(0.0001, delay_s),
        multicast=dice.random() < 0.8,
        give_up_s=dice.choice((0.5, 2.0, 10.0)),
        clock_rates=dice.choice((0.0, 0.0002, 0.01)),
    )


def storm(dice: random.Random, climate: Climate) -> Climate:
    """Bad weather on a link or everywhere, for a while."""
    delay_s = dice.choice((0.005, 0.05, 0.3))
    return Climate(
        loss=dice.choice((climate.loss, 0.3, 0.7)),
        duplication=dice.choice((climate.duplication, 0.3)),
        datagram_delay_s=(0.0001, delay_s),
        stream_delay_s=(0.0001, dice.choice((climate.stream_delay_s[1], delay_s))),
        multicast=climate.multicast,
        give_up_s=climate.give_up_s,
    )
