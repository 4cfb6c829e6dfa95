"""Codec: an envelope becomes one frame, and a frame becomes an envelope or a RemoteProtocolError.

    encode   [both lengths + Envelope, front, body, front, body, ...]: parts for writelines(); fronts and
             bodies are the very objects that lie in the log
    decode   everything behind the first 4 bytes; fronts and bodies become `bytes` of their own

protobuf ends here: nothing outside this package sees one of its classes. How a single message is
converted is in conversion.py, what becomes of batches and entries in raw.py, where a frame ends in
framing.py. Whatever bytes come in, nothing but RemoteProtocolError comes out: for that every number,
every enum and every length is checked here, once, and no core has to.
"""

from __future__ import annotations

import re
import struct
from dataclasses import fields
from typing import Any, NamedTuple, cast, get_args

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from logstream.protocol import logstream_pb2
from logstream.protocol.conversion import ClassConversion, of_class
from logstream.protocol.envelope import PROTOCOL_VERSION, Envelope
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import NO_EPOCH, Epoch, Member
from logstream.protocol.messages import Decision, Message
from logstream.protocol.raw import COUNT_MAX, RawReader

HEADER_MAX = 16 * 1024 * 1024  # bytes of protobuf in one frame: in memory they may cost thirty times as much

_PREFIX = struct.Struct("!II")
_HEADER_SIZE = struct.Struct("!I")
_REJECTED_BY_PROTOBUF = (TypeError, ValueError, KeyError, AttributeError, struct.error)


class _Shape(NamedTuple):
    """How one message travels: its field in the oneof, and whether its epoch stands in the envelope."""

    kind: type[Any]
    name: str
    conversion: ClassConversion
    has_epoch: bool


def _shape_of(kind: type[Any], envelope: Descriptor) -> _Shape:
    name = re.sub("(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    has_epoch = fields(kind)[:1] != () and fields(kind)[0].name == "epoch"
    descriptor = envelope.fields_by_name[name].message_type
    return _Shape(kind, name, of_class(kind, descriptor, elsewhere=int(has_epoch)), has_epoch)


_ENVELOPE = logstream_pb2.DESCRIPTOR.message_types_by_name["Envelope"]
_DECISION = logstream_pb2.DESCRIPTOR.message_types_by_name["Decision"]
_WireEnvelope: type[Any] = GetMessageClass(_ENVELOPE)
_WireDecision: type[Any] = GetMessageClass(_DECISION)
_SHAPES = [_shape_of(kind, _ENVELOPE) for kind in get_args(Message)]
_BY_KIND = {shape.kind: shape for shape in _SHAPES}
_BY_NAME = {shape.name: shape for shape in _SHAPES}
_DECISIONS = {kind: _shape_of(kind, _DECISION) for kind in get_args(Decision)}
_DECISIONS_BY_NAME = {shape.name: shape for shape in _DECISIONS.values()}
_MEMBER = of_class(Member, _ENVELOPE.fields_by_name["sender"].message_type)
_EPOCH = of_class(Epoch, _ENVELOPE.fields_by_name["epoch"].message_type)


# --- frames --------------------------------------------------------------------------------------


def encode(envelope: Envelope) -> list[bytes]:
    """One frame in parts, ready for writelines(); batch bytes are not copied.

    Raises LocalProtocolError for an envelope that has no form on the wire.
    """
    raw: list[bytes] = []
    try:
        header = _header_of(envelope, raw)
        if len(header) > HEADER_MAX:
            raise LocalProtocolError(f"a message of {len(header)} bytes without its batches, at most {HEADER_MAX} go")
        follows = _HEADER_SIZE.size + len(header) + sum(map(len, raw))
        return [_PREFIX.pack(follows, len(header)) + header, *raw]
    except _REJECTED_BY_PROTOBUF as error:
        raise LocalProtocolError(f"{type(envelope.message).__name__} cannot be sent: {error!r}") from error


def _header_of(envelope: Envelope, raw: list[bytes]) -> bytes:
    message, sender = envelope.message, envelope.sender
    shape = _BY_KIND[type(message)]
    epoch = message.epoch if shape.has_epoch else NO_EPOCH  # type: ignore[union-attr]
    wire: dict[str, Any] = {
        "protocol_version": PROTOCOL_VERSION,
        "cluster": envelope.cluster,
        "cluster_id": envelope.cluster_id,
        "sender": None if sender is None else _MEMBER.write(sender, raw),
        "epoch": None if epoch == NO_EPOCH else _EPOCH.write(epoch, raw),
        "correlation": envelope.correlation,
        shape.name: shape.conversion.write(message, raw),
    }
    return cast(bytes, _WireEnvelope(**wire).SerializeToString())


def decode(frame: bytes | memoryview) -> Envelope:
    """The envelope of a frame without its first 4 bytes. Raises RemoteProtocolError for anything malformed."""
    header_end = _header_end(frame)
    wire = _parse(_WireEnvelope, frame[_HEADER_SIZE.size : header_end])
    if wire.protocol_version != PROTOCOL_VERSION:
        raise RemoteProtocolError(f"a peer speaks protocol {wire.protocol_version}, this one {PROTOCOL_VERSION}")
    if wire.correlation > COUNT_MAX:
        raise RemoteProtocolError(f"correlation {wire.correlation} is too large")
    raw = RawReader(frame, header_end)
    message = _message_of(wire, raw)
    raw.finish()
    sender = _MEMBER.read(wire.sender, raw) if wire.HasField("sender") else None
    return Envelope(message, wire.cluster, wire.cluster_id, sender, wire.correlation)


def _header_end(frame: bytes | memoryview) -> int:
    if len(frame) < _HEADER_SIZE.size:
        raise RemoteProtocolError(f"a frame of {len(frame)} bytes has no envelope")
    (size,) = _HEADER_SIZE.unpack_from(frame)
    if size > HEADER_MAX:
        raise RemoteProtocolError(f"an envelope of {size} bytes, at most {HEADER_MAX} are allowed")
    end: int = _HEADER_SIZE.size + size
    if end > len(frame):
        raise RemoteProtocolError(f"an envelope of {size} bytes in a frame of {len(frame)}")
    return end


def _message_of(wire: Any, raw: RawReader) -> Message:
    shape = _BY_NAME.get(wire.WhichOneof("message"))
    if shape is None:
        raise RemoteProtocolError("an envelope without a message that this version knows")
    body = getattr(wire, shape.name)
    if not shape.has_epoch:
        return cast(Message, shape.conversion.read(body, raw))
    epoch = _EPOCH.read(wire.epoch, raw) if wire.HasField("epoch") else NO_EPOCH
    return cast(Message, shape.conversion.read(body, raw, epoch))


def _parse(kind: type[Any], data: bytes | memoryview) -> Any:
    try:
        return kind.FromString(bytes(data))
    except (DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"bytes that are no {kind.DESCRIPTOR.name}: {error}") from error


# --- decisions -----------------------------------------------------------------------------------


def encode_decision(decision: Decision) -> bytes:
    """The body of a decision's entry; equal decisions give equal bytes. Raises LocalProtocolError."""
    shape = _DECISIONS[type(decision)]
    try:
        wire = _WireDecision(**{shape.name: shape.conversion.write(decision, [])})
        return cast(bytes, wire.SerializeToString(deterministic=True))
    except _REJECTED_BY_PROTOBUF as error:
        raise LocalProtocolError(f"{decision} cannot be kept: {error!r}") from error


def decode_decision(body: bytes) -> Decision:
    """The decision in an entry's body. Raises RemoteProtocolError if there is none that this version knows."""
    wire = _parse(_WireDecision, body)
    shape = _DECISIONS_BY_NAME.get(wire.WhichOneof("decision"))
    if shape is None:
        raise RemoteProtocolError("an entry without a decision that this version knows")
    return cast(Decision, shape.conversion.read(getattr(wire, shape.name), RawReader(b"", 0)))
