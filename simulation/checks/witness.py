"""The witness: looks at a member after each of its turns, and knows what must never be seen (protocol section 5).

    turn of a Replica ---> log changed?     I4 I5 I9 I17     against everything that any log ever held
                      ---> promise changed? I1 I2 I3 I16 I18
                      ---> commit rose?     I6 I7 I21        against the ledger
    said in the turn  ---> acknowledged?    I10       against what this member holds and has promised just then
    said over TCP     ---> ack or promise   I10       against what it has said before

Each look costs what has changed, not what the log holds: a chain at one gseq stands for everything below
it. The sentences are the protocol's; how the cores keep them is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from logstream.core.replica.replica import Replica
from logstream.core.replica.storing import Recovered
from logstream.protocol.identity import NO_EPOCH, Epoch, Member, View
from logstream.protocol.messages import Entry, ReplicateAck, State, StateExchange, ViewInstall, ViewInstallAck
from simulation.checks.ledger import Ledger
from simulation.checks.mirror import Mirror
from simulation.checks.violation import Violation

HOLDBACK_ENTRIES, HOLDBACK_BYTES = 4096, 8 << 20  # R9


class Witness:
    """Watches all members of one cluster. `on_disk`: has this member's disk the log with this chain, up to this gseq?
    None where nodes have none: then what a member holds in memory counts."""

    def __init__(self, ledger: Ledger, on_disk: Callable[[Member, int, int], bool] | None = None) -> None:
        self.ledger = ledger
        self.on_disk = on_disk
        self.mirrors: dict[Member, Mirror] = {}
        self.installed: dict[Epoch, View] = {}  # every view that its leader was seen to lead
        self.cluster_id = ""  # of the one that committed anything
        self._bases: dict[Epoch, tuple[int, int]] = {}  # end and chain that an accepted view began with
        self._base_logs: dict[Epoch, tuple[int, ...]] = {}  # chains of an installed view's base
        self._entries: dict[int, Entry] = {}  # by chain: everything that any log ever held
        self._written: dict[tuple[Epoch, int], int] = {}  # (epoch, gseq) -> chain
        self._of_view: dict[Epoch, dict[int, int]] = {}  # last view -> gseq -> chain

    def mirror(self, member: Member) -> Mirror:
        """What is known of this member."""
        found = self.mirrors.get(member)
        if found is None:
            found = self.mirrors[member] = Mirror(member)
        return found

    def newest_view(self, cluster_id: str) -> int:
        """The number of the newest view of this cluster that was installed; 0 if none was."""
        return max((epoch.n for epoch, view in self.installed.items() if view.cluster_id == cluster_id), default=0)

    def look(self, replica: Replica) -> None:
        """After a turn of this Replica. Raises Violation."""
        mirror, promise, log = self.mirror(replica.me), replica.promise, replica.history.log
        accepts = promise.last_view != mirror.last_view
        if log.end != mirror.end or (log.end and log.chain != mirror.chains[-1]):
            self._log_changed(mirror, replica, accepts)
        if accepts:
            self._accepted(mirror, replica)
        if accepts or promise.promised != mirror.promised or promise.installed is not mirror.installed:
            self._promises(mirror, replica)
        if promise.active is not mirror.active:
            mirror.active = promise.active
            if promise.active is not None and promise.leads:
                self._leads(mirror, promise.active)
        if replica.commit != mirror.commit:
            self._committed(mirror, replica)
        follower = replica.followership
        if follower is not None and len(follower.holdback):
            self._holdback(mirror, len(follower.holdback), follower.holdback.bytes)

    # --- the log ---

    def _log_changed(self, mirror: Mirror, replica: Replica, accepts: bool) -> None:
        log, held = replica.history.log, mirror.chains
        before = len(held)
        common = self._common(held, replica)
        if common < before:
            if not accepts:
                raise Violation("I17", f"{mirror.name} cut its log from {before} to {common} outside of VIEW_INSTALL")
            if common < mirror.commit:
                text = f"{mirror.name} cut its log from {before} to {common}, below its commit {mirror.commit}"
                raise Violation("I17", text)
            del held[common:]
        for gseq in range(common + 1, log.end + 1):
            held.append(self._chain_of(mirror, replica, gseq))
            if not accepts and mirror.last_view != NO_EPOCH:
                self._one_log_per_view(mirror, mirror.last_view, gseq)

    def _common(self, held: list[int], replica: Replica) -> int:
        """How far the log is what it was; below its start a checkpoint stands for what was committed (R22)."""
        log, committed = replica.history.log, self.ledger.chains

        def same(gseq: int) -> bool:
            now = committed[gseq - 1 : gseq] if gseq < log.start - 1 else [log.chain_at(gseq)]
            return now == [held[gseq - 1]]

        high = min(len(held), log.end)
        if high == 0 or same(high):
            return high
        low = 0
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if same(middle) else (low, middle)
        return low

    def _chain_of(self, mirror: Mirror, replica: Replica, gseq: int) -> int:
        log = replica.history.log
        if gseq < log.start:  # a checkpoint stands for it, and checkpoints are of what is committed (R22)
            if gseq > self.ledger.end:
                raise Violation(
                    "I17", f"{mirror.name} has a checkpoint at {log.start - 1}, committed is {self.ledger.end}"
                )
            return self.ledger.chains[gseq - 1]
        chain = log.chain_at(gseq)
        if chain not in self._entries:
            self._first_seen(mirror, log.entry(gseq))
        return chain

    def _first_seen(self, mirror: Mirror, entry: Entry) -> None:
        """I4: an epoch gives a gseq once."""
        self._entries[entry.chain] = entry
        chain = self._written.setdefault((entry.epoch, entry.gseq), entry.chain)
        if chain != entry.chain:
            raise Violation(
                "I4", f"{mirror.name} holds another entry {entry.gseq} of epoch {entry.epoch} than others did"
            )

    def _one_log_per_view(self, mirror: Mirror, epoch: Epoch, gseq: int) -> None:
        """I5: logs with equal last view are prefixes of one another."""
        chain = mirror.chains[gseq - 1] if gseq else 0
        known = self._of_view.setdefault(epoch, {}).setdefault(gseq, chain)
        if known != chain:
            raise Violation(
                "I5", f"{mirror.name} holds another entry {gseq} than others whose last view is {epoch} too"
            )

    # --- promises and views ---

    def _accepted(self, mirror: Mirror, replica: Replica) -> None:
        """The log is now the base of another view."""
        view = replica.promise.accepted
        if view is None or view.epoch != replica.promise.last_view:
            raise Violation("I2", f"{mirror.name} has the last view {replica.promise.last_view} and accepted {view}")
        names = [member.node_id for member in view.members]
        if len(set(names)) != len(names):
            raise Violation("I18", f"{view} counts two identities of one node")
        base = (view.base, mirror.chains[view.base - 1] if 0 < view.base <= mirror.end else 0)
        known = self._bases.setdefault(view.epoch, base)
        if known != base or mirror.end < view.base:
            raise Violation("I16", f"{mirror.name} begins {view} with other entries than others do")
        if mirror.end > view.base and view.epoch not in self.installed:
            raise Violation("I16", f"{mirror.name} begins {view} with {mirror.end} entries, its base has {view.base}")
        if mirror.commit > mirror.end:
            raise Violation("I16", f"{mirror.name} had committed {mirror.commit}, {view} begins with {mirror.end}")
        mirror.views.add(view.epoch)
        for gseq in range(view.base, mirror.end + 1):  # more than the base only where its leader has gone on already
            self._one_log_per_view(mirror, view.epoch, gseq)

    def _promises(self, mirror: Mirror, replica: Replica) -> None:
        """I2: none of these ever decreases at a member."""
        promise = replica.promise
        now = (promise.promised, promise.last_view, _epoch_of(promise.installed))
        before = (mirror.promised, mirror.last_view, _epoch_of(mirror.installed))
        for what, new, old in zip(("promise", "last view", "installed view"), now, before, strict=True):
            if new < old:
                raise Violation("I2", f"the {what} of {mirror.name} went back from {old} to {new}")
        if promise.last_view > promise.promised:
            raise Violation("I2", f"{mirror.name} accepted {promise.last_view} below its promise {promise.promised}")
        mirror.promised, mirror.last_view, mirror.installed = promise.promised, promise.last_view, promise.installed

    def _leads(self, mirror: Mirror, view: View) -> None:
        """A view is installed: its leader has begun to lead it."""
        if view.leader != mirror.member or Epoch.of(view.epoch.n, view.leader) != view.epoch:
            raise Violation("I1", f"{mirror.name} leads {view}, whose epoch is {view.epoch}")
        if self.installed.setdefault(view.epoch, view) != view:
            raise Violation("I3", f"epoch {view.epoch} has two views: {self.installed[view.epoch]} and {view}")
        self._base_logs[view.epoch] = tuple(mirror.chains[: view.base])
        self._check_majority(view, mirror)
        self._check_overlap(view)
        self._check_base(view, mirror)

    def _check_majority(self, view: View, mirror: Mirror) -> None:
        """I6: the base is on a majority of the view when that is installed."""
        chain = mirror.chains[view.base - 1] if view.base else 0
        holders = self._holders(view, view.base, chain)
        if 2 * len(holders) <= len(view.members):
            raise Violation("I6", f"{view} was installed, its base is on {_names(holders)} only")

    def _check_overlap(self, view: View) -> None:
        """I3: enough of the view before have promised this one, and enough of this one the view after it.

        A leader may hear only late that its view is installed, when the next one is, too.
        """
        same = [epoch for epoch, one in self.installed.items() if one.cluster_id == view.cluster_id]
        before = max((epoch for epoch in same if epoch < view.epoch), default=None)
        after = min((epoch for epoch in same if epoch > view.epoch), default=None)
        for earlier, later in ((before, view.epoch), (view.epoch, after)):
            if earlier is not None and later is not None:
                self._check_moved(self.installed[earlier], self.installed[later])

    def _check_moved(self, earlier: View, later: View) -> None:
        moved = [member for member in earlier.members if self.mirror(member).promised >= later.epoch]
        if not is_enough(moved, earlier):
            raise Violation("I3", f"{later} was installed; of {earlier} only {_names(moved)} had promised it")

    def _check_base(self, view: View, mirror: Mirror) -> None:
        """I7: everything that lower epochs committed is in the base, at its gseq."""
        if self.ledger.end and view.cluster_id != self.cluster_id:
            return  # an empty cluster beside the one that took records; it may not take any (_first_to_commit)
        lower = next((gseq for gseq in range(self.ledger.end, 0, -1) if self.ledger.epochs[gseq - 1] < view.epoch), 0)
        if not mirror.holds(lower, self.ledger.chains[lower - 1] if lower else 0) or view.base < lower:
            lost = next(gseq for gseq in range(1, lower + 1) if not mirror.holds(gseq, self.ledger.chains[gseq - 1]))
            raise Violation("I7", f"{view} begins without entry {lost}, which {self.ledger.epochs[lost - 1]} committed")

    # --- commit ---

    def _committed(self, mirror: Mirror, replica: Replica) -> None:
        commit = replica.commit
        if commit < mirror.commit:
            raise Violation("I2", f"the commit of {mirror.name} went back from {mirror.commit} to {commit}")
        mirror.commit = commit
        known = min(commit, self.ledger.end)
        if known and mirror.chains[known - 1] != self.ledger.chains[known - 1]:
            raise Violation("I7", f"{mirror.name} committed entries up to {commit} that differ from what was committed")
        if commit > self.ledger.end:
            self._first_to_commit(mirror, replica.promise.active, commit)

    def _first_to_commit(self, mirror: Mirror, view: View | None, commit: int) -> None:
        if view is None or view.leader != mirror.member:
            raise Violation("I6", f"{mirror.name} does not lead and committed {commit} before any leader did")
        self.cluster_id = self.cluster_id or view.cluster_id
        if view.cluster_id != self.cluster_id:
            raise Violation("Q10", f"{view} commits, and so did another cluster: {self.cluster_id}")
        holders = self._holders(view, commit, mirror.chains[commit - 1])
        needed = len(view.members) if view.commit == "all" else len(view.members) // 2 + 1
        if len(holders) < needed:
            raise Violation("I6", f"{mirror.name} committed {commit} in {view}; it is on {_names(holders)} only")
        self._check_not_overtaken(mirror, view, commit)
        for gseq in range(self.ledger.end + 1, commit + 1):
            self.ledger.commit(self._entries[mirror.chains[gseq - 1]], view.epoch)

    def _holders(self, view: View, gseq: int, chain: int) -> list[Member]:
        """The members of this view that have stored the log with this chain, up to gseq (R9)."""
        holders = [member for member in view.members if self.mirror(member).holds(gseq, chain)]
        return [one for one in holders if self.on_disk is None or self.on_disk(one, gseq, chain)]

    def _check_not_overtaken(self, mirror: Mirror, view: View, commit: int) -> None:
        """I21: once a newer view is installed, an older epoch commits nothing that is not in the newer one's base."""
        for epoch, base in self._base_logs.items():
            if self.installed[epoch].cluster_id != view.cluster_id or epoch < view.epoch:
                continue
            if epoch != view.epoch and (len(base) < commit or base[commit - 1] != mirror.chains[commit - 1]):
                raise Violation("I21", f"{mirror.name} committed {commit} in {view}, {self.installed[epoch]} lacks it")

    # --- what is said ---

    def heard(self, replica: Replica, effects: Iterable[object]) -> None:
        """What a Replica says in the turn that it has just had, to whom and by whatever way: I10. Raises Violation."""
        for effect in effects:
            message = getattr(effect, "message", None)
            if isinstance(message, ReplicateAck | ViewInstallAck):
                self._check_ack(replica, message)

    def _check_ack(self, replica: Replica, ack: ReplicateAck | ViewInstallAck) -> None:
        """A promise counts from the turn in which it was made, to whomever, the member itself included."""
        promise, log = replica.promise, replica.history.log
        says = f"{self.mirror(replica.me).name} says {type(ack).__name__} of {ack.epoch}"
        if ack.epoch < promise.promised:
            raise Violation("I10", f"{says}, it has promised {promise.promised}")
        if ack.epoch != promise.last_view:
            raise Violation("I10", f"{says}, its last view is {promise.last_view}")
        if isinstance(ack, ViewInstallAck):
            if promise.accepted is None or promise.accepted.base > log.end:
                raise Violation("I10", f"{says} and does not hold the base of {promise.accepted}")
        elif ack.gseq > log.end or (ack.gseq >= log.start and log.chain_at(ack.gseq) != ack.chain):
            raise Violation("I10", f"{says} and entry {ack.gseq}, which it does not hold")

    def said(self, member: Member, message: object) -> None:
        """A member's words are on their way, perhaps some turns after they were said: I10. Raises Violation."""
        match message:
            case StateExchange(epoch=epoch) | ViewInstall(view=View(epoch=epoch)) if epoch == Epoch.of(epoch.n, member):
                self.mirror(member).said = max(self.mirror(member).said, epoch)  # promised to itself, too (R2)
            case ReplicateAck() | ViewInstallAck() | State():
                self._answered(member, message)

    def _answered(self, member: Member, message: ReplicateAck | ViewInstallAck | State) -> None:
        mirror, kind = self.mirror(member), type(message).__name__
        if not isinstance(message, State):
            if message.epoch < mirror.said:
                text = f"{mirror.name} sends {kind} of {message.epoch} after it has promised {mirror.said}"
                raise Violation("I10", text)
            if mirror.promised != NO_EPOCH and message.epoch not in mirror.views:
                raise Violation("I10", f"{mirror.name} sends {kind} of {message.epoch}, which it never accepted")
        mirror.said = max(mirror.said, message.epoch)
        if isinstance(message, ViewInstallAck):
            mirror.vouched = max(mirror.vouched, message.epoch)
        if isinstance(message, ReplicateAck):
            mirror.acked = message
        if isinstance(message, ReplicateAck) and mirror.last_view == message.epoch:
            self._check_stored(mirror, message)

    def _check_stored(self, mirror: Mirror, ack: ReplicateAck) -> None:
        if not mirror.holds(ack.gseq, ack.chain):
            raise Violation("I10", f"{mirror.name} acknowledges entry {ack.gseq}, which it does not hold")

    def came_back(self, member: Member, found: Recovered) -> None:
        """A durable member runs again: what it has said must bind what its disk held (R2, R19). Raises Violation."""
        mirror, (promised, last_view, installed, *_), log = self.mirror(member), found.votes, found.history.log
        ack = mirror.acked
        if promised < mirror.said or last_view < mirror.vouched:
            said = f"it has said {mirror.said}, and {mirror.vouched} of a base"
            raise Violation("R2", f"{mirror.name} comes back with promise {promised}, last view {last_view}; {said}")
        binds = ack is not None and ack.epoch == last_view and ack.gseq >= log.start - 1
        if ack is not None and binds and (log.end < ack.gseq or log.chain_at(ack.gseq) != ack.chain):
            raise Violation("R9", f"{mirror.name} comes back without entry {ack.gseq}, which it has acknowledged")
        cut = self.ledger.chains[: log.start - 1]  # a checkpoint stands for what was committed (R22)
        mirror.chains = [*cut, *(log.chain_at(gseq) for gseq in range(log.start, log.end + 1))]
        self._entries |= {log.chain_at(gseq): log.entry(gseq) for gseq in range(log.start, log.end + 1)}
        mirror.promised, mirror.last_view, mirror.installed = promised, last_view, installed
        mirror.active, mirror.commit = None, found.history.commit

    def _holdback(self, mirror: Mirror, entries: int, size: int) -> None:
        if entries > HOLDBACK_ENTRIES or (entries > 1 and size > HOLDBACK_BYTES):
            raise Violation("I19", f"{mirror.name} holds back {entries} entries of {size} bytes")

    # --- questions ---

    def newest(self) -> dict[str, View]:
        """The installed view with the highest epoch, by cluster_id: at first there may be several clusters (R20)."""
        found: dict[str, View] = {}
        for view in self.installed.values():
            if view.cluster_id not in found or view.epoch > found[view.cluster_id].epoch:
                found[view.cluster_id] = view
        return found


def is_enough(present: Collection[Member], view: View) -> bool:
    """Q3 (a) and (b): more than half of the view, or half of it with its highest identity."""
    count = sum(member in present for member in view.members)
    return 2 * count > len(view.members) or (2 * count == len(view.members) and max(view.members) in present)


def _epoch_of(view: View | None) -> Epoch:
    return view.epoch if view is not None else NO_EPOCH


def _names(members: Collection[Member]) -> str:
    return ", ".join(member.node_id for member in sorted(members)) or "nobody"
