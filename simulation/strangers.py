"""Strangers: those who are on the network and not in the cluster, and what they say to its nodes.

    another cluster     with our name and an id of its own, or with our id and a name of its own
                        says whatever would change a member's state: nothing of it may be heard (I20, R20)
    the dead            said something while they were members; it arrives when another incarnation
                        may be in their place (R15), and breaks no promise either

Another cluster's words are as bad as they can be: they name the hearer's view, epoch and log, and come
from the identities of its members, as where a folder was copied. Whether they are heard is judged where
a host hands messages to its actors. Frames that nobody can decode do not exist on this network.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from logstream.core.events import Received, Via
from logstream.core.replica.replica import Replica
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import EMPTY_LOG, Epoch, Member, View
from logstream.protocol.messages import (
    Election,
    Handover,
    Heartbeat,
    Hello,
    Leave,
    Message,
    Replicate,
    ReplicateAck,
    State,
    StateExchange,
    ViewInstall,
    ViewInstallAck,
)
from simulation.checks.violation import Violation
from simulation.cluster import Cluster
from simulation.pretended.hosts import Host
from transport.identity import Identity

OTHER_ID, OTHER_NAME = "f" * 16, "elsewhere"
NOBODY = Member("n0", OTHER_ID, "127.0.0.1:8000")
FAR = 1_000_000  # the number of an epoch above all others
LAST_WORDS: tuple[type[Message], ...] = (
    Replicate,
    ReplicateAck,
    Heartbeat,
    StateExchange,
    State,
    ViewInstall,
    ViewInstallAck,
    Election,
    Leave,
    Handover,
    Hello,
)


class Strangers:
    """Speak to the nodes of one cluster. Raise Violation in the node that hears them."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self._cluster = cluster
        self._dice = dice
        self._said: dict[int, Envelope] = {}  # by the id of its message
        self._watched: dict[Host, None] = {}
        self._last_words: dict[Member, dict[type[Message], tuple[Member, Envelope]]] = {}

    # --- another cluster ---

    def speak(self) -> str:
        """Another cluster says something to a node; in words, or "" where nobody has a view."""
        names = [name for name, node in sorted(self._cluster.nodes.items()) if node.running]
        views = {name: view for name in names if (view := self._cluster.replica(name).promise.accepted) is not None}
        if not views:
            return ""
        name = self._dice.choice(list(views))
        host = self._host(name)
        if host is None or not host.identity.cluster_id:
            return ""  # who has no cluster yet listens to every one of its name
        sender, message = self._words(self._cluster.replica(name), views[name])
        ours = host.identity
        whose = self._dice.choice(((OTHER_NAME, ours.cluster_id), (ours.cluster, OTHER_ID)))
        via = self._dice.choice((Via.MULTICAST, Via.BROADCAST, Via.TCP))
        if via is Via.MULTICAST and not self._cluster.network.climate.multicast:
            via = Via.TCP
        self._say(host, Envelope(message, *whose, sender), via)
        kind = type(message).__name__
        return f"{sender} of another cluster ({whose[0]}, {whose[1]}) says {kind} to {name} by {via.value}"

    def _words(self, replica: Replica, view: View) -> tuple[Member, Message]:
        """What would change the state of this member, if it came from this sender of its own cluster."""
        log, dice = replica.history.log, self._dice
        leader = view.leader if view.leader != replica.me else NOBODY
        other = dice.choice([member for member in (*view.members, NOBODY) if member != replica.me])
        far = Epoch.of(FAR, leader)
        epoch = dice.choice((view.epoch, far))
        mine = View(far, leader, tuple(sorted((leader, replica.me))), (view.epoch,), 0, view.cluster_id, view.commit)
        words: tuple[tuple[Member, Message], ...] = (
            (leader, Heartbeat(epoch, log.end + 1, log.end, view.members)),
            (leader, Replicate(epoch, (), log.end, log.end)),
            (other, ReplicateAck(view.epoch, log.end, log.chain, 1 << 20, True)),
            (leader, StateExchange(far, view)),
            (leader, ViewInstall(mine, (view,), view, EMPTY_LOG)),
            (other, Election(tuple(sorted({replica.me, *view.members})), replica.me)),
            (other, Leave(dice.random() < 0.5)),
            (leader, Handover(view.epoch, True)),
            (other, Hello(far, view.epoch)),
        )
        return dice.choice(words)

    def _say(self, host: Host, envelope: Envelope, via: Via) -> None:
        self._said[id(envelope.message)] = envelope
        self._watch(host)
        assert envelope.sender is not None
        self._cluster.network.datagram(replace(host, me=envelope.sender), envelope, via, host.address)

    def _watch(self, host: Host) -> None:
        """From here on see what this host hands to its actors."""
        if host not in self._watched:
            self._watched[host] = None
            host.deliver = self._judging(host, host.deliver)

    def _judging(self, host: Host, deliver: Callable[[Received], None]) -> Callable[[Received], None]:
        def judge(received: Received) -> None:
            envelope = self._said.get(id(received.message))
            if envelope is not None and is_foreign(envelope, host.identity):
                who = f"cluster {envelope.cluster!r} with the id {envelope.cluster_id}"
                raise Violation("I20", f"{host.me.node_id} hears {type(received.message).__name__} of {who}")
            deliver(received)

        return judge

    # --- the dead ---

    def listen(self, speaker: Host, to: Member, envelope: Envelope) -> None:
        """A member says something to another over TCP: it may turn out to have been its last word."""
        kind = type(envelope.message)
        if kind in LAST_WORDS:
            self._last_words.setdefault(speaker.me, {})[kind] = (to, envelope)

    def speak_for_the_dead(self) -> str:
        """What a dead incarnation said last, some of it, arrives now; in words, or "" where nobody is dead."""
        alive = {host.me for host in self._cluster.network.hosts.values()}
        dead = [member for member in self._last_words if member not in alive]
        if not dead:
            return ""
        member = self._dice.choice(dead)
        words = [(host, envelope) for to, envelope in self._last_words[member].values() if (host := self._at(to))]
        if not words:
            return ""
        host, envelope = self._dice.choice(words)
        self._cluster.network.datagram(replace(host, me=member), envelope, Via.TCP, host.address)
        return f"a late {type(envelope.message).__name__} of a dead {member} reaches {host.me}"

    def _at(self, member: Member) -> Host | None:
        host = self._cluster.network.hosts.get(member.address)
        return host if host is not None and host.me == member else None

    def _host(self, name: str) -> Host | None:
        return self._cluster.network.hosts.get(self._cluster.address_of(name))


def is_foreign(envelope: Envelope, identity: Identity) -> bool:
    """R20: whose words touch nothing? Who has no cluster yet listens to every one of its name."""
    if envelope.cluster != identity.cluster:
        return True
    return identity.cluster_id not in ("", envelope.cluster_id)
