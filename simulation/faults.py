"""Faults: everything that is done to a simulated cluster, each with its end.

A fault is a method that does its damage, arranges its own end and returns what it did in words, or ""
where it cannot be done now. Faults overlap freely. The one thing that none of them does is to take away
so much that the rules themselves allow a loss: after each death enough identities of every view that
may matter are left (Mercy), because memory is all that a node has here.

    strike -> one fault by dice -> damage -> for a while -> its end
    mend   -> all ends at once, everybody is started and awake
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from actors.mesh import Seat
from logstream.core.events import LinkDown
from logstream.core.view_vocabulary import CandidateElected
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import Member
from logstream.protocol.messages import (
    ChangeLeader,
    Message,
    Replicate,
    ReplicateAck,
    State,
    StateExchange,
    ViewInstall,
    ViewInstallAck,
)
from logstream.runtime import SafeRef
from simulation.cluster import Cluster
from simulation.mercy import Mercy
from simulation.pretended.climate import storm
from simulation.pretended.cuts import Cut
from simulation.pretended.hosts import Host
from simulation.strangers import Strangers

AMBUSHES: tuple[type[Message], ...] = (StateExchange, State, ViewInstall, ViewInstallAck, Replicate, ReplicateAck)
AMBUSH_S = 3.0  # how long one waits for its victim


class Faults:
    """Damages one cluster, and mends it. `say` is told what was done."""

    def __init__(
        self, cluster: Cluster, names: tuple[str, ...], mercy: Mercy, dice: random.Random, say: Callable[[str], None]
    ) -> None:
        self.done: Counter[str] = Counter()  # by kind
        self._cluster = cluster
        self._network = cluster.network
        self._names = names
        self._mercy = mercy
        self._dice = dice
        self._say = say
        self._over = False
        self._strangers = Strangers(cluster, dice)
        self._network.on_stream.append(self._strangers.listen)
        self._climate = cluster.network.climate
        self.kinds: tuple[tuple[Callable[[], str], int], ...] = (
            (self.kill, 8),
            (self.power_off, 3),
            (self.stop, 4),
            (self.pause, 8),
            (self.slow, 4),
            (self.cut, 6),
            (self.one_way, 6),
            (self.cut_streams, 4),
            (self.cut_datagrams, 4),
            (self.split, 6),
            (self.isolate, 5),
            (self.deafen, 3),
            (self.bad_link, 5),
            (self.bad_weather, 3),
            (self.reset, 4),
            (self.step_clock, 2),
            (self.change_leader, 3),
            (self.needless_election, 4),
            (self.stranger, 4),
            (self.late_word, 3),
            (self.ambush, 14),
        )

    def strike(self) -> None:
        """Do one fault; kinds that cannot be done now are passed over."""
        kinds = [kind for kind, _ in self.kinds]
        weights = [weight for _, weight in self.kinds]
        for kind in self._dice.choices(kinds, weights, k=10):
            words = kind()
            if words:
                self.done[kind.__name__] += 1
                self._say(f"fault: {words}")
                return

    def mend(self) -> None:
        """Every fault ends now, and every node runs."""
        self._over = True
        network = self._network
        network.on_stream.clear()
        network.climate = self._climate
        network.heal()
        for name in sorted(self._cluster.nodes):
            self._cluster.machines[name].resume()
        self._start_the_dead()

    def _start_the_dead(self) -> None:
        """Those who are still stopping, or too many to come at once, come as soon as they may."""
        dead = [name for name in self._names if name not in self._cluster.nodes]
        for name in dead:
            if self._mercy.may_start():
                self._cluster.start(name)
                self._say(f"{name} starts")
        if dead or self._mercy.someone_leaves():
            self._cluster.loop.call_later(0.5, self._start_the_dead)

    # --- whom, and for how long ---

    def _awake(self) -> list[str]:
        return [name for name in sorted(self._cluster.nodes) if not self._cluster.machines[name].paused]

    def _one(self, names: list[str]) -> str:
        """Any of them; often the leader, because that hurts."""
        leaders = [name for name in names if self._cluster.leads(name)]
        return self._dice.choice(leaders if leaders and self._dice.random() < 0.4 else names)

    def _address(self, name: str) -> str:
        return self._cluster.address_of(name)

    def _addresses(self) -> list[str]:
        """Of all nodes and clients."""
        return [self._address(name) for name in self._names] + self._cluster.client_addresses

    def _while(self, shortest_s: float, longest_s: float) -> float:
        """How long a fault lasts: as often a tenth of the longest time as all of it."""
        return shortest_s + (longest_s - shortest_s) * self._dice.random() ** 2

    def _after(self, seconds: float, end: Callable[[], None]) -> None:
        def unless_mended() -> None:
            if not self._over:
                end()

        self._cluster.loop.call_later(seconds, unless_mended)

    # --- deaths ---

    def kill(self) -> str:
        """kill -9, and a start with empty memory later."""
        names = self._mercy.expendable()
        return self._die(self._one(names), "is killed") if names else ""

    def power_off(self) -> str:
        """Gone without a reset: whoever was connected hears nothing."""
        names = self._mercy.expendable()
        if not names:
            return ""
        name = self._one(names)
        address = self._address(name)
        self._network.cuts.dark[address] += 1
        words = self._die(name, "loses its power", silent=True)
        self._after(self._dice.uniform(0.0, 2.0), lambda: self._light(address))
        return words

    def _light(self, address: str) -> None:
        self._network.cuts.dark[address] -= 1
        self._network.look_again()

    def _die(self, name: str, how: str, silent: bool = False) -> str:
        self._cluster.kill(name, silent)
        after_s = self._while(0.02, 6.0)
        self._after(after_s, lambda: self._start(name))
        return f"{name} {how}, to start again after {after_s:.2f} s"

    def _start(self, name: str) -> None:
        if name in self._cluster.nodes:
            return
        if self._mercy.may_start():
            self._cluster.start(name)
            self._say(f"{name} starts")
        else:
            self._after(0.5, lambda: self._start(name))

    def stop(self) -> str:
        """SIGTERM: it leaves, and comes back later."""
        names = self._mercy.expendable()
        if not names:
            return ""
        name = self._one(names)
        self._mercy.leaving[name] = self._cluster.nodes[name]
        self._cluster.stop(name)
        self._after(self._while(1.5, 6.0), lambda: self._start(name))
        return f"{name} is stopped"

    # --- processes ---

    def pause(self) -> str:
        """SIGSTOP, SIGCONT later."""
        names = self._awake()
        if not names:
            return ""
        name = self._one(names)
        machine, for_s = self._cluster.machines[name], self._while(0.05, 6.0)
        machine.pause()
        self._after(for_s, machine.resume)
        return f"{name} is paused for {for_s:.2f} s"

    def slow(self) -> str:
        """Every callback takes long for a while."""
        names = self._awake()
        if not names:
            return ""
        name = self._one(names)
        cost_s, for_s = self._dice.choice((0.001, 0.005, 0.02)), self._while(0.2, 3.0)
        self._cluster.machines[name].slow(cost_s, for_s)
        return f"{name} needs {1000 * cost_s:.0f} ms for everything, for {for_s:.2f} s"

    def step_clock(self) -> str:
        """A wall clock jumps."""
        names = sorted(self._cluster.nodes)
        name, step_s = self._dice.choice(names or [""]), self._dice.choice((-86_400.0, -3.0, 3.0, 86_400.0))
        if not name:
            return ""
        self._cluster.machines[name].wall_step_s += step_s
        return f"the wall clock of {name} jumps by {step_s:+.0f} s"

    # --- the network ---

    def cut(self) -> str:
        """Two cannot reach each other."""
        one, other = self._two()
        return self._cut(Cut(((one, other), (other, one))), f"{one} and {other} are cut")

    def one_way(self) -> str:
        """One reaches the other, not the other way round."""
        one, other = self._two()
        return self._cut(Cut(((one, other),)), f"{other} does not hear {one}")

    def cut_streams(self) -> str:
        """TCP is cut, datagrams pass."""
        one, other = self._two()
        return self._cut(Cut(((one, other), (other, one)), datagrams=False), f"{one} and {other} have no TCP")

    def cut_datagrams(self) -> str:
        """Datagrams are cut, TCP passes."""
        one, other = self._two()
        return self._cut(Cut(((one, other), (other, one)), streams=False), f"{one} and {other} have only TCP")

    def split(self) -> str:
        """Two groups, clients in either."""
        return self._split([address for address in self._addresses() if self._dice.random() < 0.5], "are alone")

    def isolate(self) -> str:
        """One node alone."""
        return self._split([self._address(self._one(list(self._names)))], "is alone")

    def _split(self, group: list[str], how: str) -> str:
        others = [address for address in self._addresses() if address not in group]
        ways = [way for one in group for other in others for way in ((one, other), (other, one))]
        return self._cut(Cut(tuple(ways)), f"{', '.join(group)} {how}") if ways else ""

    def _two(self) -> tuple[str, str]:
        """Two nodes, or a node and a client."""
        one = self._address(self._one(list(self._names)))
        rest = [address for address in self._addresses() if address != one]
        return one, self._dice.choice(rest)

    def _cut(self, cut: Cut, words: str) -> str:
        for_s = self._while(0.05, 6.0)
        self._network.cuts.add(cut)
        self._after(for_s, lambda: self._network.remove(cut))
        return f"{words} for {for_s:.2f} s"

    def deafen(self) -> str:
        """Multicast is dead for one node."""
        name, for_s = self._dice.choice(self._names), self._while(0.3, 6.0)
        address, deaf = self._address(name), self._network.cuts.deaf
        deaf[address] += 1
        self._after(for_s, lambda: deaf.subtract((address,)))
        return f"{name} hears no multicast for {for_s:.2f} s"

    def bad_link(self) -> str:
        """One way has weather of its own for a while."""
        way, weather, for_s = self._two(), storm(self._dice, self._climate), self._while(0.3, 6.0)
        self._network.weather[way] = weather
        self._after(for_s, lambda: void(self._network.weather.pop(way, None)))
        return f"from {way[0]} to {way[1]} there is {weather} for {for_s:.2f} s"

    def bad_weather(self) -> str:
        """A storm everywhere."""
        if self._network.climate is not self._climate:
            return ""
        weather, for_s = storm(self._dice, self._climate), self._while(0.3, 3.0)
        self._network.climate = weather

        def end() -> None:
            self._network.climate = self._climate

        self._after(for_s, end)
        return f"everywhere there is {weather} for {for_s:.2f} s"

    def reset(self) -> str:
        """Every connection of one node breaks."""
        names = sorted(self._cluster.nodes)
        if not names:
            return ""
        name = self._one(names)
        return f"{self._network.reset(self._address(name))} connections of {name} break"

    # --- what only looks like a fault ---

    def change_leader(self) -> str:
        """`election NAME` in the middle of it all: a change of view that nobody needs."""
        asked, wanted = self._dice.choice(sorted(self._cluster.nodes) or [""]), self._dice.choice(self._names)
        if not asked or not self._cluster.tell_broker(asked, ChangeLeader(wanted)):
            return ""
        return f"{asked} is asked to let {wanted} lead"

    def needless_election(self) -> str:
        """One node is wrong about a live leader: it stands against it, or takes it for gone and asks around (R4)."""
        names = [name for name in self._awake() if self._follows(name)]
        if not names:
            return ""
        name = self._dice.choice(names)
        view = self._cluster.replica(name).promise.active
        assert view is not None
        if self._dice.random() < 0.5:
            self._tell(name, Seat.VIEW_MANAGER, CandidateElected(view.members))
            return f"{name} stands against {view.leader}"
        self._tell(name, Seat.FAILURE_DETECTOR, LinkDown(view.leader, True, self._cluster.machines[name].time()))
        return f"{name} takes {view.leader} for gone"

    def _follows(self, name: str) -> bool:
        if not self._cluster.nodes[name].running:
            return False
        promise = self._cluster.replica(name).promise
        return promise.active is not None and not promise.leads

    def _tell(self, name: str, seat: Seat, event: object) -> None:
        SafeRef[Any](self._cluster.actor(name, seat).actor_ref).tell(event)

    def stranger(self) -> str:
        """Another cluster speaks to a node (I20)."""
        return self._strangers.speak()

    def late_word(self) -> str:
        """Something that a dead incarnation said arrives only now (R15)."""
        return self._strangers.speak_for_the_dead()

    # --- rare moments ---

    def ambush(self) -> str:
        """Wait for somebody to say a certain thing to some of those it is meant for, and hit it then."""
        kind, spared = self._dice.choice(AMBUSHES), self._dice.randrange(3)
        blow = self._dice.choice((self._kill_speaker, self._pause_speaker, self._isolate_speaker, self._pause_hearer))
        left = [spared]

        def listen(speaker: Host, to: Member, envelope: Envelope) -> None:
            if isinstance(envelope.message, kind):
                left[0] -= 1
                if left[0] < 0:
                    disarm()
                    self._spring(blow, speaker, to, kind)

        def disarm() -> None:
            if listen in self._network.on_stream:
                self._network.on_stream.remove(listen)

        self._network.on_stream.append(listen)
        self._after(AMBUSH_S, disarm)
        return f"an ambush waits for the {spared + 1}. {kind.__name__}"

    def _spring(self, blow: Callable[[str, str], str], speaker: Host, to: Member, kind: type[Message]) -> None:
        words = blow(speaker.me.node_id, to.node_id)
        if words:
            self._say(f"ambush: when {speaker.me.node_id} says {kind.__name__} to {to.node_id}: {words}")

    def _kill_speaker(self, speaker: str, _: str) -> str:
        return self._die(speaker, "is killed") if speaker in self._mercy.expendable() else ""

    def _pause_speaker(self, speaker: str, _: str) -> str:
        return self._pause_now(speaker)

    def _pause_hearer(self, _: str, hearer: str) -> str:
        return self._pause_now(hearer)

    def _pause_now(self, name: str) -> str:
        if name not in self._cluster.nodes:
            return ""
        machine, for_s = self._cluster.machines[name], self._while(0.2, 4.0)
        machine.pause()
        self._after(for_s, machine.resume)
        return f"{name} is paused for {for_s:.2f} s"

    def _isolate_speaker(self, speaker: str, _: str) -> str:
        return self._split([self._address(speaker)], "is alone")


def void(_: object) -> None:
    """For a callback that returns nothing."""
