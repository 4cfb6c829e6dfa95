"""Stage: the cluster of a scenario, with exact control of its messages and of what its nodes are."""

from __future__ import annotations

from actors.mesh import Seat
from logstream.core.events import Via
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import Member, View
from logstream.settings import NodeSettings, Settings, SharedSettings
from simulation.cluster import Cluster
from simulation.pretended.climate import Climate
from simulation.pretended.cuts import Cut, Way
from simulation.pretended.hosts import Host
from simulation.pretended.network import Network
from simulation.pretended.virtual_loop import VirtualLoop
from simulation.scenarios.sieve import Sieve


class SievedNetwork(Network):
    """A network whose messages between nodes pass through a sieve: streams as they leave, datagrams as they arrive."""

    def __init__(self, loop: VirtualLoop, climate: Climate) -> None:
        super().__init__(loop, climate)
        self.sieve = Sieve()
        self._mine: dict[Way, list[Cut]] = {}

    def stream(self, source: Host, to: Member, envelope: Envelope) -> None:
        """Over the link between two members, if the sieve lets it."""
        kind, super_stream = type(envelope.message).__name__, super().stream
        if not self.sieve.takes(source.address, to.address, kind, lambda: super_stream(source, to, envelope)):
            super_stream(source, to, envelope)

    def _datagram_arrives(self, host: Host, envelope: Envelope, via: Via, source: str, size: int) -> None:
        kind, arrive = type(envelope.message).__name__, super()._datagram_arrives
        if not self.sieve.takes(source, host.address, kind, lambda: arrive(host, envelope, via, source, size)):
            arrive(host, envelope, via, source, size)

    def separate(self, ways: list[Way], streams: bool = True, datagrams: bool = True) -> None:
        """One cut for each way, so that each can be mended by itself."""
        for way in ways:
            cut = Cut((way,), streams, datagrams)
            self._mine.setdefault(way, []).append(cut)
            self.cuts.add(cut)

    def mend(self, ways: list[Way]) -> None:
        """These are open again."""
        for way in ways:
            for cut in self._mine.pop(way, []):
                self.remove(cut)


class Stage(Cluster):
    """A cluster whose nodes may have an address of their choice: "n1@8009" is a node n1 at port 8009."""

    network: SievedNetwork

    def __init__(self, seed: int, shared: SharedSettings, memory_max: int, durable: bool) -> None:
        super().__init__(seed, Climate(), shared, memory_max, durable)
        self.network = SievedNetwork(self.loop, self.network.climate)

    def _settings(self, name: str) -> Settings:
        settings = super()._settings(name.partition("@")[0])
        node = NodeSettings.model_validate(settings.node.model_dump() | {"address": self.address(name)})
        return settings.model_copy(update={"node": node})

    def address(self, name: str) -> str:
        """Where a node is, or was, or will be; a client is at its name."""
        node_id, _, port = name.partition("@")
        if not node_id[1:].isdigit():
            return name
        return f"127.0.0.1:{port}" if port else self.address_of(node_id)

    @property
    def running(self) -> list[str]:
        """The nodes whose actors are there."""
        return [name for name, node in sorted(self.nodes.items()) if node.running]

    def agree(self, names: list[str]) -> bool:
        """Are these the members of one view, and each of them active in it?"""
        views = [self.replica(name).promise.active if name in self.running else None for name in names]
        first = views[0]
        return first is not None and views == [first] * len(names) and set(names) == _names(first)

    def part_of(self, name: str) -> str:
        """What a node is at this moment, in words."""
        if name not in self.nodes:
            return f"{name} is gone"
        if name not in self.running:
            return f"{name} begins anew"
        promise = self.replica(name).promise
        view = promise.active
        if view is not None:
            if promise.leads:
                return f"{name} leads {' '.join(sorted(_names(view)))}"
            heard = self.actor(name, Seat.FAILURE_DETECTOR).core.leader
            return f"{name} follows {view.leader.node_id}" if heard else f"{name} has no leader"
        accepted = promise.accepted
        if accepted is None or promise.me not in accepted.members:
            return f"{name} is no member"
        return f"{name} is frozen"


def _names(view: View) -> set[str]:
    return {member.node_id for member in view.members}
