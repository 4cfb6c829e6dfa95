"""Where a broker stands in its cluster: what the events have told it about the view, the leader and itself.

    not in a view --view_installed--> active --interrupted--> a view is changing --view_installed--> active ...

It is ready for requests while it is active and hears the leader.

Elsewhere: the view itself is owned by the replica, this is what was heard of it last.
"""

from __future__ import annotations

from logstream.protocol.identity import NO_EPOCH, Epoch, Member, View


class Standing:
    """One broker's place in its cluster."""

    def __init__(self, me: Member) -> None:
        self.me = me
        self.view: View | None = None
        self.leads = False
        self.active = False  # in a view that is not being changed
        self.leader_heard = False
        self.knows_all = False  # leads, and has applied the base of its view: a topic not known here does not exist

    @property
    def ready(self) -> bool:
        """Can requests be served now?"""
        return self.active and self.leader_heard

    def why_not_ready(self) -> str:
        """What a client hears when they cannot."""
        if self.view is None:
            return "this broker has not joined its cluster yet"
        return "the view is changing" if not self.active else f"leader {self.view.leader} does not answer"

    @property
    def leader(self) -> Member | None:
        """Whom clients may be sent to; nobody while there is doubt."""
        return self.view.leader if self.view is not None and self.ready else None

    @property
    def cluster_id(self) -> str:
        """The empty string before the first view."""
        return self.view.cluster_id if self.view else ""

    @property
    def lineage(self) -> Epoch:
        """No epoch before the first view."""
        return self.view.lineage if self.view else NO_EPOCH

    def view_installed(self, view: View, leads: bool) -> None:
        """Requests can go on, under this leader."""
        self.view, self.leads, self.active = view, leads, True
        self.knows_all = leads and view.base == 0

    def interrupted(self) -> None:
        """A view is changing, or was left."""
        self.active = False

    def registry_current(self, epoch: Epoch) -> None:
        """All decisions of the base of this epoch's view are applied."""
        self.knows_all = self.leads and self.view is not None and self.view.epoch == epoch
