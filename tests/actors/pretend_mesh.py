"""A mesh whose other actors are notebooks: what an actor tells them stands in one book, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.host import Mesh
from actors.mesh import Seat
from logstream.protocol.identity import Epoch, Member, View
from tests.actors.conftest import World

ME = Member("n1", "s1", "127.0.0.1:8001")
N2 = Member("n2", "s2", "127.0.0.1:8002")
N3 = Member("n3", "s3", "127.0.0.1:8003")

Book = list[tuple[Seat, Any]]


@dataclass(frozen=True)
class Notebook:
    """Whoever sits in this seat writes down what it is told."""

    seat: Seat
    book: Book

    def tell(self, message: Any) -> None:
        """Write it down."""
        self.book.append((self.seat, message))


class PretendMesh:
    """The mesh of a node of which only the actor under test is real."""

    def __init__(self, world: World) -> None:
        self.book: Book = []
        self.halted: list[str] = []
        self.mesh = Mesh(ME, world.loop.time, self.halted.append)
        self.mesh.wire({seat: Notebook(seat, self.book) for seat in Seat})

    def told(self, *seats: Seat) -> list[Any]:
        """What the actors in these seats were told."""
        return [message for seat, message in self.book if seat in seats]


def view_of(*members: Member, n: int = 1) -> View:
    """A view that the first of these leads."""
    return View(Epoch.of(n, members[0]), members[0], tuple(sorted(members)), (), 0, "cluster-id", "all")
