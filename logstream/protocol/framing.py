"""Framing: a stream of bytes, in whatever pieces the socket delivers, becomes envelopes.

    ....|length|header length|Envelope|raw bytes|length|....
        `-- 4 --'
A frame's length is compared with `frame_max` as soon as its four bytes are there, so nobody makes
this node collect more than that. A piece that starts with a frame is decoded where it lies; only
what is left over at its end is kept and grows, by appending, until that frame is whole: a record of
16 MiB in pieces of 64 KiB costs as many appends, and a thousand small frames in one piece cost no
copy of the piece. What is in a frame is the codec's business.
"""

from __future__ import annotations

import struct

from logstream.protocol.codec import decode
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import RemoteProtocolError

LENGTH = struct.Struct("!I")


class FrameReader:
    """Cuts one connection's bytes into frames. After a RemoteProtocolError the connection is of no more use."""

    __slots__ = ("_frame_max", "_kept")

    def __init__(self, frame_max: int) -> None:
        self._frame_max = frame_max  # bytes behind the length
        self._kept = bytearray()  # the beginning of one frame

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame that are kept."""
        return len(self._kept)

    def feed(self, data: bytes) -> list[Envelope]:
        """The envelopes that these bytes complete, in order. Raises RemoteProtocolError."""
        if not self._kept:
            return self._cut(data)
        self._kept += data
        kept, self._kept = self._kept, bytearray()
        return self._cut(kept)

    def _cut(self, data: bytes | bytearray) -> list[Envelope]:
        envelopes: list[Envelope] = []
        view, start, size = memoryview(data), 0, len(data)
        while size - start >= LENGTH.size:
            end = start + LENGTH.size + self._length_at(data, start)
            if end > size:
                break
            envelopes.append(decode(view[start + LENGTH.size : end]))
            start = end
        self._keep(data, view, start)
        return envelopes

    def _length_at(self, data: bytes | bytearray, start: int) -> int:
        length: int = LENGTH.unpack_from(data, start)[0]
        if length > self._frame_max:
            raise RemoteProtocolError(f"a frame of {length} bytes, at most {self._frame_max} are allowed (frame_max)")
        return length

    def _keep(self, data: bytes | bytearray, view: memoryview, start: int) -> None:
        """Keep what is behind the last whole frame; a frame that has just begun to grow is kept as it is."""
        if start == 0 and isinstance(data, bytearray):
            view.release()
            self._kept = data
        elif start < len(data):
            self._kept += view[start:]
