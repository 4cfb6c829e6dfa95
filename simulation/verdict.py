"""The verdict: what must be true of a run when everything has healed and calmed down.

    all in one view, logs are the ledger's, outcomes known, everything read (I22)
        -> fresh readers, one that begins at each node, read from the start -> what each node's topic logs hold,
           and what clients were told, is judged
    too few are left by the rules, in spite of Mercy
        -> they say so, nobody leads them, the others agree or know nothing, what is committed is still held

Nodes are compared with the ledger, not only with one another: a cluster that has lost everything agrees
very well.

Who must say NO_QUORUM: whoever is a member of a view that it knows itself, installed or attempted, and of
one that the stranded know to matter still, if the living are too few for one of the views that it knows. A learner that
knows no view has nothing to say, and whoever knows only views with living enough hears it from a candidate.
Somebody must say it in any case.
"""

from __future__ import annotations

from collections.abc import Collection

from actors.mesh import Seat
from logstream.core.replica.promise import Promise
from logstream.core.replica.replica import Replica
from logstream.protocol.errors import DataLost, OtherCluster
from logstream.protocol.identity import NO_EPOCH, Epoch, View
from logstream.protocol.records import read
from simulation.checks.histories import Histories
from simulation.checks.violation import Violation
from simulation.checks.witness import Witness, is_enough
from simulation.cluster import Cluster
from simulation.mercy import Mercy
from simulation.workload import TOPIC, Workload


class Verdict:
    """Judges the end of one run."""

    def __init__(
        self, cluster: Cluster, names: tuple[str, ...], mercy: Mercy, witness: Witness, histories: Histories
    ) -> None:
        self._cluster = cluster
        self._names = names
        self._mercy = mercy
        self._witness = witness
        self._ledger = witness.ledger
        self._histories = histories
        self._before: set[Epoch] = set()  # of views that were installed before there were clients
        self._clusters: set[str] = set()  # that some node knew then

    def clients_begin(self) -> None:
        """From here on whatever is said to a client about another cluster must be about one that it could meet."""
        self._before = set(self._witness.installed)
        promises = [self._cluster.replica(name).promise for name, node in self._cluster.nodes.items() if node.running]
        self._clusters = {view.cluster_id for promise in promises for view in _known(promise)}

    # --- all agree ---

    def settled(self, workload: Workload) -> bool:
        """I22: all run in one view with one leader, their logs are the ledger's, and everything is known and read."""
        view = self._agreed(self._names) if self._all_run() else None
        return view is not None and not self._is_elsewhere(view) and workload.done()

    def _all_run(self) -> bool:
        nodes = self._cluster.nodes
        return (
            sorted(nodes) == sorted(self._names)
            and all(node.running for node in nodes.values())
            and not self._mercy.someone_leaves()
        )

    def _agreed(self, names: Collection[str]) -> View | None:
        """The view in which these are with one leader and one log, which is the ledger's; None if they are not."""
        if not names or not all(self._cluster.nodes[name].running for name in names):
            return None
        replicas = [self._cluster.replica(name) for name in names]
        view, log = replicas[0].promise.active, replicas[0].history.log
        if view is None or any(replica.promise.active != view for replica in replicas):
            return None
        ends = {(replica.history.log.end, replica.history.log.chain, replica.commit) for replica in replicas}
        leaders = [replica.me for replica in replicas if replica.promise.leads]
        committed = 0 if self._is_elsewhere(view) else self._ledger.end
        agrees = ends == {(committed, log.chain, committed)} and self._ledger.agrees(committed, log.chain)
        return view if agrees and leaders == [view.leader] else None

    def _is_elsewhere(self, view: View) -> bool:
        """Is this the view of another cluster than the one that committed something?"""
        return bool(self._ledger.end) and view.cluster_id != self._witness.cluster_id

    def state(self) -> str:
        """How the nodes are, in words."""
        words = []
        for name, node in sorted(self._cluster.nodes.items()):
            if not node.running:
                words.append(f"{name} is between two lives")
                continue
            replica = self._cluster.replica(name)
            active, log = replica.promise.active, replica.history.log
            view = f"in {active}" if active else f"frozen, promised {replica.promise.promised}"
            words.append(f"{name} is {view}, log {log.end}, commit {replica.commit}")
        return f"{'; '.join(words)}; committed {self._ledger.end}"

    # --- too few are left ---

    def stranded(self, late: Violation) -> set[str]:
        """Nodes of which too few are left by the rules, after a run that did not settle. Raises Violation."""
        stranded = self._mercy.stranded()
        others = set(self._cluster.nodes) - stranded  # not those who may not start any more
        if not stranded:
            raise self._lost(self._agreed(others)) or late
        self._check_said(stranded)
        view = self._agreed(others)
        if view is None and any(self._knows_views(name) for name in others):
            raise late
        if self._is_lost(stranded, view):
            raise self._lost(view) or late
        return stranded

    def serving(self, others: Collection[str]) -> Collection[str]:
        """Those of these nodes who lead on what was committed, or nobody."""
        view = self._agreed(others)
        return others if view is not None and not self._is_elsewhere(view) else ()

    def _lost(self, view: View | None) -> Violation | None:
        """All is gone, and a cluster goes on."""
        if view is None or not self._is_elsewhere(view):
            return None
        count, was = len(self._histories.acknowledged), self._witness.cluster_id
        text = f"{count} records were acknowledged and {self._ledger.end} entries committed in cluster {was}"
        return Violation("lost-write", f"{text}; {view} is of cluster {view.cluster_id}, which has none of them")

    def _is_lost(self, stranded: set[str], view: View | None) -> bool:
        """Is what was committed held neither by those of the view, if there is one, nor by one of the stranded?"""
        if not self._ledger.end or (view is not None and not self._is_elsewhere(view)):
            return False
        return not any(self._holds_all(self._cluster.replica(name)) for name in stranded)

    def _holds_all(self, replica: Replica) -> bool:
        return self._witness.mirror(replica.me).holds(self._ledger.end, self._ledger.chains[-1])

    def _check_said(self, stranded: set[str]) -> None:
        """I22: none of them leads, and all that can see that too few are left say so."""
        leads = sorted(name for name in stranded if self._cluster.leads(name))
        silent = {name for name in stranded if not self._says_no_quorum(name)}
        wrong = sorted(silent & self._must_say(stranded))
        if leads or wrong or silent == stranded:
            text = f"too few are left: {', '.join(sorted(stranded))}; of them lead: {', '.join(leads) or 'none'}"
            text += f"; do not say NO_QUORUM: {', '.join(wrong or sorted(silent)) or 'none'}"
            raise Violation("I22", f"{text}; {self.state()}")

    def _says_no_quorum(self, name: str) -> bool:
        seats = (Seat.ELECTOR, Seat.VIEW_MANAGER)
        return any(self._cluster.actor(name, seat).core.missing for seat in seats)

    def _must_say(self, stranded: set[str]) -> set[str]:
        living = [self._cluster.replica(name).me for name, node in self._cluster.nodes.items() if node.running]
        promises = [self._cluster.replica(name).promise for name in stranded]
        newest: dict[str, Epoch] = {}  # cluster_id -> the newest view that is known to be installed
        for view in (promise.installed for promise in promises):
            if view is not None:
                newest[view.cluster_id] = max(view.epoch, newest.get(view.cluster_id, NO_EPOCH))
        matter = {
            member
            for promise in promises
            for view in _known(promise)
            if view.epoch >= newest.get(view.cluster_id, NO_EPOCH)
            for member in view.members
        }
        return {
            promise.me.node_id
            for promise in promises
            if promise.me in matter
            and any(promise.me in view.members for view in _known(promise))
            and not all(is_enough(living, view) for view in _known(promise))
        }

    def _knows_views(self, name: str) -> bool:
        return self._cluster.replica(name).promise.last_view != NO_EPOCH

    # --- what clients were told ---

    def check_words(self, workload: Workload) -> None:
        """Nobody forces a view in a run, and another cluster must have been there if one is named. Raises Violation."""
        later = (view for epoch, view in self._witness.installed.items() if epoch not in self._before)
        clusters = self._clusters.union(view.cluster_id for view in later)
        for value, error in self._histories.failed.items():
            if isinstance(error, DataLost) or (isinstance(error, OtherCluster) and len(clusters) < 2):
                raise Violation("I15", f"{value!r} failed with {error!r}, the clusters were {sorted(clusters)}")
        deserted = [consumer.reader for consumer in workload.consumers if consumer.deserted]
        if deserted and len(clusters) < 2:
            raise Violation("I14", f"{', '.join(deserted)} heard of another cluster, and there was none")
        under_way = [producer.address for producer in workload.producers if producer.under_way]
        if under_way:
            raise Violation("I22", f"{', '.join(under_way)} never heard what became of some records")

    def topics_agree(self) -> bool:
        """Would check_topics pass now?"""
        try:
            self.check_topics()
        except Violation:
            return False
        return True

    def check_topics(self) -> None:
        """Every node names the topics that there are by the log, and would serve what is committed in them (R13).

        Consumers are sent on to the broker that a partition is assigned to, so they do not see what the others hold.
        Raises Violation.
        """
        for name in self._names:
            catalog = self._cluster.actor(name, Seat.CLIENT_GATEWAY).core.catalog
            says = {topic.name: topic.topic_id for topic in catalog.by_name.values()}
            if says != self._ledger.topics:
                raise Violation(
                    "R13", f"{name} says that the topics are {says}, by the log they are {self._ledger.topics}"
                )
            for (topic_id, partition), records in self._ledger.records.items():
                if topic_id in says.values():
                    self._check_topic_log(name, topic_id, partition, records)

    def _check_topic_log(self, name: str, topic_id: int, partition: int, records: list[bytes]) -> None:
        """From where it is trimmed to its end a topic log has every value at its offset. Raises Violation."""
        where = f"the topic log {topic_id}/{partition} of {name}"
        core = self._cluster.topic_log(name, topic_id, partition)
        start, end = self._ledger.starts.get((topic_id, partition), 0), len(records)
        if core is None or core.start > start or core.end != end:
            held = f"{core.start} to {core.end}" if core is not None else "nothing"
            raise Violation("R13", f"{where} has {held}, committed and not trimmed is {start} to {end}")
        values = {record.offset: record.value or b"" for batch in core.batches for record in read(batch)}
        for offset in range(start, end):
            if values.get(offset) != records[offset]:
                text = f"{where} has {values.get(offset)!r} at {offset}, committed is {records[offset]!r}"
                raise Violation("R13", text)

    def check_histories(self, readers: list[str], fresh: list[str]) -> None:
        """What these read, and what everybody was told, against the ledger. Raises Violation."""
        self._histories.check_end(readers, TOPIC, fresh)


def _known(promise: Promise) -> list[View]:
    """What this member counts by: installed and attempted."""
    return [view for view in (promise.installed, *promise.attempted) if view is not None]
