"""The baseline: the same bytes over the same hops, by plain sockets that know no protocol.

    producer --TCP--> leader --multicast--> two followers --TCP ack--> leader --TCP--> producer
                                            first follower --TCP--> reader

Three processes stand for three nodes. The leader sends a chunk on when both followers' sockets have
room for it and answers a request when both have acknowledged its last byte. Nothing is parsed,
checked, indexed or kept in order, and a lost datagram would hang it: it is what a replicated log in
this language could reach on this machine if the log itself cost nothing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import secrets
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection

DATAGRAM = 8192  # bytes, as on loopback
FOLLOWERS = 2
WINDOW = 5  # requests in flight, as a producer's window
_LENGTH = struct.Struct("!I")
_ACK = struct.Struct("!Q")


class Pipeline:
    """The running baseline. `produce` and `read` move bytes and return seconds."""

    def __init__(self, leader: tuple[str, int], reader: tuple[str, int]) -> None:
        self._leader = socket.create_connection(leader)
        self._leader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = reader

    def produce(self, batches: list[bytes]) -> float:
        """Send these batches with a window of five, wait for all answers; seconds."""
        began = time.perf_counter()
        waiting = 0
        for batch in batches:
            self._leader.sendall(_LENGTH.pack(len(batch)) + batch)
            waiting += 1
            if waiting == WINDOW:
                _exactly(self._leader, 1)
                waiting -= 1
        _exactly(self._leader, waiting)
        return time.perf_counter() - began

    def read(self, size: int) -> float:
        """Read this many bytes from the first follower; seconds."""
        began = time.perf_counter()
        with socket.create_connection(self._reader) as reader:
            left = size
            while left:
                left -= len(reader.recv(min(left, 1 << 18)))
        return time.perf_counter() - began

    def close(self) -> None:
        """Let the processes end."""
        self._leader.close()


@contextlib.contextmanager
def running() -> Iterator[Pipeline]:
    """Three processes on loopback, ended at the end."""
    context = multiprocessing.get_context("spawn")
    group = (f"239.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}", 30999)
    pipes = [context.Pipe() for _ in range(FOLLOWERS + 1)]
    processes = [context.Process(target=_follow, args=(pipes[n][1], group), daemon=True) for n in range(FOLLOWERS)]
    processes.append(context.Process(target=_lead, args=(pipes[FOLLOWERS][1], group), daemon=True))
    for process in processes:
        process.start()
    try:
        followers = [pipe.recv() for pipe, _ in pipes[:FOLLOWERS]]
        pipes[FOLLOWERS][0].send([(ack, room) for ack, _, room in followers])
        pipeline = Pipeline(pipes[FOLLOWERS][0].recv(), followers[0][1])
        yield pipeline
        pipeline.close()
    finally:
        for process in processes:
            process.join(2.0)
            process.kill()


# --- the processes ---


def _lead(pipe: Connection, group: tuple[str, int]) -> None:
    peers: list[tuple[tuple[str, int], int]] = pipe.recv()
    acks = [socket.create_connection(address) for address, _ in peers]
    room = min(room for _, room in peers)
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname())
    producer, _ = listener.accept()
    producer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    _Leader(producer, acks, sender, group, room).run()


class _Leader:
    def __init__(
        self,
        producer: socket.socket,
        acks: list[socket.socket],
        sender: socket.socket,
        group: tuple[str, int],
        room: int,
    ) -> None:
        self._producer = producer
        self._acks = acks
        self._sender = sender
        self._group = group
        self._room = room
        self._acked = dict.fromkeys(acks, 0)
        self._sent = 0
        self._ends: deque[int] = deque()  # the last byte of each request that waits for its answer
        self._received = 0
        self._backlog: deque[memoryview] = deque()

    def run(self) -> None:
        """Until the producer has gone."""
        selector = selectors.DefaultSelector()
        for one in (self._producer, *self._acks):
            selector.register(one, selectors.EVENT_READ)
        buffer = bytearray()
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
                if not data:
                    return
                if key.fileobj is self._producer:
                    buffer += data
                    self._take(buffer)
                else:
                    self._acked[key.fileobj] = _ACK.unpack(data[-_ACK.size :])[0]  # type: ignore[index]
            self._send_on()
            self._answer()

    def _take(self, buffer: bytearray) -> None:
        while len(buffer) >= 4 and len(buffer) >= 4 + (size := _LENGTH.unpack_from(buffer)[0]):
            self._backlog.append(memoryview(bytes(buffer[4 : 4 + size])))
            del buffer[: 4 + size]
            self._received += size
            self._ends.append(self._received)

    def _send_on(self) -> None:
        while self._backlog and self._sent - min(self._acked.values()) < self._room - DATAGRAM:
            part = self._backlog[0][:DATAGRAM]
            self._backlog[0] = self._backlog[0][DATAGRAM:]
            if not self._backlog[0]:
                self._backlog.popleft()
            self._sender.sendto(part, self._group)
            self._sent += len(part)

    def _answer(self) -> None:
        done = min(self._acked.values())
        while self._ends and self._ends[0] <= done:
            self._ends.popleft()
            self._producer.sendall(b".")


def _follow(pipe: Connection, group: tuple[str, int]) -> None:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    receiver.bind(group)
    membership = socket.inet_aton(group[0]) + socket.inet_aton("127.0.0.1")
    receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    receiver.setblocking(False)
    to_leader = socket.create_server(("127.0.0.1", 0))
    to_reader = socket.create_server(("127.0.0.1", 0))
    room = receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) * 2 // 5
    pipe.send((to_leader.getsockname(), to_reader.getsockname(), room))
    leader, _ = to_leader.accept()
    leader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    kept: list[bytes] = []
    selector = selectors.DefaultSelector()
    for one in (receiver, to_reader, leader):
        selector.register(one, selectors.EVENT_READ)
    _Follower(receiver, to_reader, leader, kept).run(selector)


class _Follower:
    def __init__(
        self, receiver: socket.socket, to_reader: socket.socket, leader: socket.socket, kept: list[bytes]
    ) -> None:
        self._receiver, self._to_reader, self._leader, self._kept = receiver, to_reader, leader, kept
        self._size = 0

    def run(self, selector: selectors.BaseSelector) -> None:
        """Until the leader has gone."""
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._receiver:
                    self._drain()
                elif key.fileobj is self._to_reader:
                    self._serve()
                else:
                    return

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self._receiver.recv(DATAGRAM)
                self._kept.append(data)
                self._size += len(data)
        self._leader.sendall(_ACK.pack(self._size))

    def _serve(self) -> None:
        reader, _ = self._to_reader.accept()
        with reader:
            for data in self._kept:
                reader.sendall(data)


def _exactly(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(size))
