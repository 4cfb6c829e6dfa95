"""Mercy: which deaths and births the rules of the protocol survive, and so may be asked of it.

In memory mode a node that restarts is another member and counts for nothing that was before. So a
death is allowed only while the living identities are enough (Q3) for every view that may still matter:
the newest installed one and all that anybody alive has attempted above it. Then whoever must have a
copy of an acknowledged record is never dead altogether, and a quorum is always left.

A birth is allowed while those who know nothing are too few to begin a cluster of their own that takes
records (the floor, end of Q10): the one loss that no rule of the protocol prevents.
"""

from __future__ import annotations

from actors.mesh import Seat
from actors.node import Node
from logstream.core.replica.promise import Promise
from logstream.core.view_change import ViewChange
from logstream.protocol.identity import NO_EPOCH, Epoch, Member, View
from simulation.checks.witness import Witness, is_enough
from simulation.cluster import Cluster


class Mercy:
    """Judges who of one cluster may go, and whether one may come."""

    def __init__(self, cluster: Cluster, witness: Witness, floor: int) -> None:
        self.leaving: dict[str, Node] = {}  # as good as dead: a leaver goes after a while, whatever was decided
        self._cluster = cluster
        self._witness = witness
        self._floor = floor
        self._proposed: dict[Epoch, View] = {}  # by candidates, perhaps dead by now: VIEW_INSTALL may be on its way

    def expendable(self) -> list[str]:
        """The nodes of which any one may die now."""
        living = self._living()
        if self._cluster.durable:  # it comes back as what it was
            return list(living)
        everybody = list(living.values())
        spared = []
        for name in living:
            others = [member for other, member in living.items() if other != name]
            if all(is_enough(others, view) for view in self._views(everybody, others)):
                spared.append(name)
        return spared

    def stranded(self) -> set[str]:
        """Nodes of a cluster that may hold something, and of which too few are left by the rules (I22).

        Faults avoid it, but a death may meet a change of view whose members were not known yet, and what was never
        committed may be left to a few when the others have begun anew (R20).
        """
        living = self._living()
        members = list(living.values())
        views = self._views([], members)
        lost = {view.cluster_id for view in views if view.cluster_id and not is_enough(members, view)}
        nodes: dict[str, set[str]] = {}
        holding = set()
        for name, member in living.items():
            for cluster_id in lost.intersection(self._clusters_of([member])):
                nodes.setdefault(cluster_id, set()).add(name)
                if self._may_hold(name):
                    holding.add(cluster_id)
        return {name for cluster_id in holding for name in nodes[cluster_id]}

    def _may_hold(self, name: str) -> bool:
        """Has it entries, or may others have committed some without it (Q9)?"""
        replica = self._cluster.replica(name)
        return replica.history.log.end > 0 or any(view.commit == "majority" for view in _known(replica.promise))

    def someone_leaves(self) -> bool:
        """Is a node about to stop?"""
        nodes = self._cluster.nodes
        return any(nodes.get(name) is node for name, node in self.leaving.items())

    def may_start(self) -> bool:
        """May one more node come that knows nothing, or a durable one?

        Beside each cluster that holds something, or may take something, all others and this one must be too few for it.
        """
        if self._cluster.durable:
            return True
        living, newest = self._living(), self._witness.newest()
        holders = [member for name, member in living.items() if self._cluster.replica(name).history.log.end > 0]
        holding = {self._witness.cluster_id, *self._clusters_of(holders)}  # what is not committed yet may be later
        found = self._clusters_of(list(living.values()))
        views = [
            view for one, view in newest.items() if one in holding or (one in found and self._may_take(view, living))
        ]
        newborn = 1 + sum(not node.running for node in self._cluster.nodes.values())  # and those that begin anew
        others = [sum(member not in view.members for member in living.values()) for view in views]
        return all(count + newborn < self._floor for count in others)

    def _may_take(self, view: View, living: dict[str, Member]) -> bool:
        """Is this view large enough to take records (Q10)? Its leader may not miss the dead yet."""
        leader = view.leader.node_id
        is_led = living.get(leader) == view.leader and self._cluster.leads(leader)
        there = len(view.members) if is_led else sum(member in living.values() for member in view.members)
        return there >= self._floor

    def _living(self) -> dict[str, Member]:
        """The members that run, or are only paused, by name."""
        nodes = self._cluster.nodes
        self.leaving = {name: node for name, node in self.leaving.items() if nodes.get(name) is node}
        return {
            name: self._cluster.replica(name).me
            for name in sorted(nodes)
            if name not in self.leaving and nodes[name].running
        }

    def _views(self, living: list[Member], others: list[Member]) -> list[View]:
        """What a candidate must account for (R3) whom only these others answer, and the newest view of each cluster.

        The others may not know that a view was installed: then the one before it counts, too.
        """
        newest = self._witness.newest()
        views = {newest[one].epoch: newest[one] for one in self._clusters_of(living) if one in newest}
        promises = [self._cluster.replica(member.node_id).promise for member in others]
        views |= {view.epoch: view for member in others for view in self._under_way(member)}
        self._proposed |= {view.epoch: view for member in living for view in self._under_way(member) if view.cluster_id}
        for cluster_id in self._clusters_of(others):
            known = [view for one in promises for view in (*_known(one), *self._proposed.values())]
            known = [view for view in known if view.cluster_id == cluster_id]
            installed = [one.installed for one in promises if one.installed is not None]
            floor = max((view.epoch for view in installed if view.cluster_id == cluster_id), default=NO_EPOCH)
            views |= {view.epoch: view for view in known if view.epoch >= floor}
        return list(views.values())

    def _under_way(self, member: Member) -> list[View]:
        """What this member is about to propose: at worst, a view of all whom it has asked."""
        change: ViewChange = self._cluster.actor(member.node_id, Seat.VIEW_MANAGER).core
        attempt = change.attempt
        if attempt is None or attempt.installed:
            return []
        if attempt.install is not None:
            return [attempt.install.view]
        return [View(attempt.epoch, member, tuple(sorted(attempt.asked)), (), 0, "", "all")]

    def _clusters_of(self, members: list[Member]) -> list[str]:
        """The cluster_ids of the views that these members know."""
        promises = [self._cluster.replica(member.node_id).promise for member in members]
        return sorted({view.cluster_id for one in promises for view in _known(one)})


def _known(promise: Promise) -> list[View]:
    return [view for view in (promise.installed, promise.accepted, *promise.attempted) if view is not None]
