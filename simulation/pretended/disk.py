"""A pretended disk: what a durable node finds when it comes back (R19).

    write, write, write --sync, after a while--> kept
    crash: of what is not synced the first few writes may be there all the same, in their order, or none

It outlives the node and its process. Writes keep their order, a sync takes everything that is there when it
begins, and while it runs the node goes on. A store that no view was ever accepted into is not worth keeping:
nobody can count on its member, so the node comes back as another one, as from memory.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from logstream.core.replica.history import Checkpoint, History
from logstream.core.replica.promise import Votes
from logstream.core.replica.storing import Appended, Change, Recovered, Replaced
from logstream.protocol.messages import Entry
from simulation.pretended.machine import Machine

SYNC_S = (0.0002, 0.005)
STALL_S = (0.05, 0.6)
STALLS = 0.02  # of all syncs


class PretendDisk:
    """The disk of one node. `machine` is the process that writes now."""

    def __init__(self, dice: Random) -> None:
        self.machine: Machine | None = None
        self.stalled = False  # nothing is synced any more
        self.found: Callable[[Recovered], None] | None = None  # is told what a node finds when it starts
        self.keeps: int | None = None  # so many unsynced writes survive the next crash; None: as the dice say
        self._dice = dice
        self._store_id = ""
        self._votes: Votes | None = None
        self._checkpoint: Checkpoint | None = None
        self._entries: list[Entry] = []
        self._unsynced: list[tuple[Change, Callable[[], object]]] = []
        self._syncing = False
        self._life = 0  # of the store and of the process that writes: what an earlier one began ends nothing

    # --- what a node uses ---

    def recovered(self) -> Recovered | None:
        """The votes, and the log, which is cut at the last view: what is newer had no votes yet when the node ended."""
        votes = self._votes
        if votes is None or (votes.installed is None and not votes.attempted):
            return None
        head = self._checkpoint
        history = History(head._replace(tables=head.tables.fork()) if head is not None else None)
        self._entries = [entry for entry in self._entries if entry.epoch <= votes.last_view]
        for entry in self._entries:
            history.follow(entry)
        found = Recovered(self._store_id, votes, history)
        if self.found is not None:
            self.found(found)
        return found

    def begin(self, store_id: str) -> None:
        """An empty store."""
        self._store_id, self._votes, self._checkpoint, self._entries = store_id, None, None, []
        self._forget_unsynced()

    def write(self, change: Change, done: Callable[[], object]) -> None:
        """Behind all earlier ones; synced after a while. A process that has ended already writes nothing."""
        if self.machine is None:
            return
        self._unsynced.append((change, done))
        self._sync()

    # --- what a checker asks ---

    def holds(self, store_id: str, gseq: int, chain: int) -> bool:
        """Would this member come back with the log of this chain, up to gseq? What is not synced does not count."""
        votes = self._votes
        if store_id != self._store_id or votes is None:
            return gseq == 0
        place = gseq - 1 - (self._checkpoint.gseq if self._checkpoint is not None else 0)
        if place < 0:
            return True  # a checkpoint is of what is committed (R22)
        entry = self._entries[place] if place < len(self._entries) else None
        return entry is not None and entry.chain == chain and entry.epoch <= votes.last_view

    # --- what becomes of it ---

    def go_on(self) -> None:
        """It is stalled no more."""
        self.stalled = False
        self._sync()

    def crash(self) -> None:
        """The process is gone; what it had written and not synced is there up to some write."""
        kept = self._dice.randint(0, len(self._unsynced)) if self.keeps is None else self.keeps
        for change, _ in self._unsynced[:kept]:
            self._keep(change)
        self._forget_unsynced()
        self.machine = self.keeps = None

    def _forget_unsynced(self) -> None:
        self._unsynced.clear()
        self._life, self._syncing = self._life + 1, False

    def _sync(self) -> None:
        if self._syncing or self.stalled or not self._unsynced or self.machine is None:
            return
        self._syncing = True
        took_s = self._dice.uniform(*(STALL_S if self._dice.random() < STALLS else SYNC_S))
        self.machine.call_later(took_s, self._synced, self._life, len(self._unsynced))

    def _synced(self, life: int, count: int) -> None:
        if life != self._life:
            return
        writes, self._unsynced, self._syncing = self._unsynced[:count], self._unsynced[count:], False
        for change, done in writes:
            self._keep(change)
            done()
        self._sync()

    def _keep(self, change: Change) -> None:
        match change:
            case Appended(entries=entries):
                self._entries += entries
            case Replaced(history=history):
                log, head = history.log, history.checkpoint
                self._checkpoint = head if head.gseq else None
                self._entries = [log.entry(gseq) for gseq in range(log.start, log.end + 1)]
            case Votes():
                self._votes = change
