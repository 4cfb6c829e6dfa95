"""Fragments: a frame that is larger than a datagram travels in several, in any order, some of them lost.

    frame    |................................|
    datagram |header|..........|  |header|..........|  |header|......|

    header: "LS" | cluster 4 | version 1 | token 4 | message 4 | index 2 | count 2

The cluster's name is there as a hash, in the same place in every version, so strangers are recognised
before anything else is read. The token is drawn at random for each sending socket: a sender that
started again counts its messages from 0, but under another token. Nothing is repeated or acknowledged
here; what does not arrive is repaired by the protocol (R9, R16). Incomplete messages are kept for a
while and up to a number of bytes; beyond either the oldest is dropped.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from logstream.protocol.codec import decode
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.framing import LENGTH

VERSION = 1
COUNT_MAX = 65_535  # fragments of one message
KEEPING_COSTS = 256  # bytes that an incomplete message or a fragment costs besides its own

_MAGIC = b"LS"
_HEADER = struct.Struct("!2s4sBIIHH")
_COUNTER = 2**32

Source = tuple[str, int]
_Key = tuple[Source, int, int]


def _hash_of(cluster: str) -> bytes:
    return blake2b(cluster.encode("utf-8", "surrogateescape"), digest_size=4).digest()


class Fragmenter:
    """Cuts the frames of one sending socket into datagrams of at most `datagram_max` bytes."""

    def __init__(self, cluster: str, token: int, datagram_max: int) -> None:
        if datagram_max <= _HEADER.size:
            raise LocalProtocolError(f"a datagram of {datagram_max} bytes has no room behind its header")
        self._cluster = _hash_of(cluster)
        self._token = token  # 32 bits
        self._room = datagram_max - _HEADER.size
        self._messages = 0

    def split(self, frame: list[bytes]) -> list[bytes]:
        """The datagrams of a frame, given in the parts that the codec made of it.

        Raises LocalProtocolError if it takes too many.
        """
        whole = b"".join(frame)
        count = -(-len(whole) // self._room)
        if count > COUNT_MAX:
            raise LocalProtocolError(f"a frame of {len(whole)} bytes does not fit into {COUNT_MAX} datagrams")
        message, self._messages = self._messages, (self._messages + 1) % _COUNTER
        return [
            _HEADER.pack(_MAGIC, self._cluster, VERSION, self._token, message, index, count)
            + whole[index * self._room : (index + 1) * self._room]
            for index in range(count)
        ]


class _Incomplete:
    """What has come of one message."""

    __slots__ = ("cost", "count", "pieces", "since")

    def __init__(self, count: int, since: float) -> None:
        self.count = count
        self.since = since
        self.pieces: dict[int, bytes] = {}
        self.cost = KEEPING_COSTS


class Reassembler:
    """Puts the datagrams of one receiving socket together again, for one cluster.

    It keeps at most `bytes_max` bytes of incomplete messages, none of them longer than `hold_s` seconds.
    """

    def __init__(self, cluster: str, bytes_max: int, hold_s: float) -> None:
        self.strangers = 0  # datagrams of other clusters
        self.dropped = 0  # messages that never became complete
        self.pending = 0  # bytes kept; at most bytes_max
        self._name = cluster
        self._cluster = _hash_of(cluster)
        self._bytes_max = bytes_max
        self._hold_s = hold_s
        self._incomplete: dict[_Key, _Incomplete] = {}  # oldest first

    def add(self, source: Source, datagram: bytes, at: float) -> Envelope | None:
        """The envelope that this datagram completes. `at` is now, in seconds.

        Raises RemoteProtocolError for a datagram that no node sends.
        """
        self._drop_older_than(at - self._hold_s)
        if len(datagram) < _HEADER.size or datagram[:2] != _MAGIC:
            raise RemoteProtocolError(f"a datagram of {len(datagram)} bytes that is none of ours")
        _, cluster, version, token, message, index, count = _HEADER.unpack_from(datagram)
        if cluster != self._cluster:
            self.strangers += 1
            return None
        if version != VERSION or index >= count:
            raise RemoteProtocolError(f"a datagram of version {version} says that it is fragment {index} of {count}")
        if count == 1:
            return self._finish(memoryview(datagram)[_HEADER.size :])
        return self._collect((source, token, message), index, count, datagram[_HEADER.size :], at)

    def _collect(self, key: _Key, index: int, count: int, piece: bytes, at: float) -> Envelope | None:
        incomplete = self._incomplete.setdefault(key, _Incomplete(count, at))
        if incomplete.count != count:
            raise RemoteProtocolError(f"a message in {incomplete.count} fragments has one of {count}")
        if not incomplete.pieces:
            self.pending += incomplete.cost
        if index not in incomplete.pieces:
            incomplete.pieces[index] = piece
            incomplete.cost += len(piece) + KEEPING_COSTS
            self.pending += len(piece) + KEEPING_COSTS
        if len(incomplete.pieces) == count:
            self._forget(key)
            return self._finish(memoryview(b"".join([incomplete.pieces[place] for place in range(count)])))
        while self.pending > self._bytes_max:
            self._drop(next(iter(self._incomplete)))
        return None

    def _finish(self, frame: memoryview) -> Envelope | None:
        if len(frame) < LENGTH.size or LENGTH.unpack_from(frame)[0] != len(frame) - LENGTH.size:
            raise RemoteProtocolError(f"a message of {len(frame)} bytes in datagrams says another length")
        envelope = decode(frame[LENGTH.size :])
        if envelope.cluster != self._name:  # another name with the same hash
            self.strangers += 1
            return None
        return envelope

    def _drop_older_than(self, limit: float) -> None:
        while self._incomplete:
            oldest = next(iter(self._incomplete))
            if self._incomplete[oldest].since >= limit:
                return
            self._drop(oldest)

    def _drop(self, key: _Key) -> None:
        self.dropped += 1
        self._forget(key)

    def _forget(self, key: _Key) -> None:
        self.pending -= self._incomplete.pop(key).cost
