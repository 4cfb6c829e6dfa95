"""Conversion: how a Python value becomes protobuf and back, derived once from the type hints.

A message of messages.py and its namesake in logstream.proto have the same fields. Thirty hand-written
pairs of functions would say so thirty times, and the thirty-first would forget a field; here the
dataclass's type hints and the protobuf descriptor are read together when the module is imported, and
a field that only one of them knows is an error on the spot.

    value  --write-->  nested dict, for the constructor of the protobuf class   (one C call builds all)
    value  <--read---  protobuf object, field by field, each number checked

What a hint means on the wire:

    int, str, bool, float      the same; unsigned numbers end at 2**63, floats are finite
    IntEnum, Literal           a protobuf enum; an unknown number is malformed
    X | None                   absent for None
    Epoch, TopicRetention      absent for NO_EPOCH and for AS_CLUSTER
    tuple[X, ...]              repeated
    Batch, tuple[Entry, ...]   numbers here, bytes behind the envelope: raw.py
    another class              a protobuf message, and it must be there
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import IntEnum
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from logstream.protocol.batches import Batch
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import NO_EPOCH, Epoch
from logstream.protocol.messages import Entry
from logstream.protocol.raw import (
    COUNT_MAX,
    PARTITION_MAX,
    RawReader,
    read_batch,
    read_entries,
    write_batch,
    write_entries,
)
from logstream.protocol.retention import AS_CLUSTER, TopicRetention

Write = Callable[[Any, list[bytes]], Any]
Read = Callable[[Any, RawReader], Any]

_ABSENT: dict[type[Any], Any] = {Epoch: NO_EPOCH, TopicRetention: AS_CLUSTER}
_UNSIGNED = {FieldDescriptor.TYPE_UINT64: COUNT_MAX, FieldDescriptor.TYPE_UINT32: PARTITION_MAX}


class Conversion(NamedTuple):
    """Both ways for one field. `write` is None where protobuf takes the value as it is."""

    write: Write | None
    read: Read


class ClassConversion(NamedTuple):
    """Both ways for one class."""

    write: Write
    read: Callable[..., Any]  # (protobuf object, raw bytes, values of the fields that stand elsewhere)


def of_class(kind: type[Any], descriptor: Descriptor | None, elsewhere: int = 0) -> ClassConversion:
    """The conversion of a dataclass or NamedTuple, whose first `elsewhere` fields travel elsewhere.

    Raises LocalProtocolError if the class and the protobuf message do not have the same fields.
    """
    known = {field.name: field for field in descriptor.fields} if descriptor else {}
    hints = dict(_hints_of(kind)[elsewhere:])
    if set(hints) != set(known):
        raise LocalProtocolError(f"{kind.__name__} and logstream.proto differ in {set(hints) ^ set(known)}")
    conversions = {name: _of_field(hint, known[name]) for name, hint in hints.items()}
    return ClassConversion(_class_writer(conversions), _class_reader(kind, [one.read for one in conversions.values()]))


def _hints_of(kind: type[Any]) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)
    return [(name, hints[name]) for name in names]


def _class_writer(conversions: dict[str, Conversion]) -> Write:
    plain = [name for name, conversion in conversions.items() if conversion.write is None]
    others = [(name, conversion.write) for name, conversion in conversions.items() if conversion.write is not None]

    def write(value: Any, raw: list[bytes]) -> dict[str, Any]:
        wire = {name: getattr(value, name) for name in plain}
        for name, convert in others:
            wire[name] = convert(getattr(value, name), raw)
        return wire

    return write


def _class_reader(kind: type[Any], readers: list[Read]) -> Callable[..., Any]:
    def read(wire: Any, raw: RawReader, *elsewhere: Any) -> Any:
        return kind(*elsewhere, *[reader(wire, raw) for reader in readers])

    return read


# --- one field: its readers are given the message that holds it ----------------------------------


def _of_field(hint: Any, field: FieldDescriptor) -> Conversion:
    if get_origin(hint) is tuple and get_args(hint)[-1] is Ellipsis:
        return _of_entries(field) if get_args(hint)[0] is Entry else _of_repeated(get_args(hint)[0], field)
    if get_origin(hint) is Literal:
        return _of_enum(dict(enumerate(get_args(hint), start=1)), field, is_text=True)
    if field.message_type is not None:
        return _of_message(hint, field)
    if get_origin(hint) is UnionType:
        return _of_optional(_of_field(get_args(hint)[0], field), field)
    if issubclass(hint, IntEnum):
        return _of_enum({int(member): member for member in hint}, field)
    if hint is float:
        return _of_float(field)
    return Conversion(None, _bounded_reader(field) if field.type in _UNSIGNED else _plain_reader(field))


def _of_optional(inner: Conversion, field: FieldDescriptor) -> Conversion:
    """A number or text that may be absent: protobuf takes None for that."""
    name = field.name

    def write(value: Any, raw: list[bytes]) -> Any:
        return value if value is None or inner.write is None else inner.write(value, raw)

    def read(wire: Any, raw: RawReader) -> Any:
        return inner.read(wire, raw) if wire.HasField(name) else None

    return Conversion(write, read)


def _plain_reader(field: FieldDescriptor) -> Read:
    name = field.name

    def read(wire: Any, raw: RawReader) -> Any:
        return getattr(wire, name)

    return read


def _bounded_reader(field: FieldDescriptor) -> Read:
    name, limit = field.name, _UNSIGNED[field.type]

    def read(wire: Any, raw: RawReader) -> Any:
        value = getattr(wire, name)
        if value > limit:
            raise RemoteProtocolError(f"{field.full_name} is {value}, which is too large")
        return value

    return read


def _of_float(field: FieldDescriptor) -> Conversion:
    name = field.name

    def write(value: float, raw: list[bytes]) -> float:
        if not math.isfinite(value):
            raise LocalProtocolError(f"{field.full_name} is {value}")
        return value

    def read(wire: Any, raw: RawReader) -> float:
        value: float = getattr(wire, name)
        if not math.isfinite(value):
            raise RemoteProtocolError(f"{field.full_name} is {value}")
        return value

    return Conversion(write, read)


def _of_enum(values: dict[int, Any], field: FieldDescriptor, is_text: bool = False) -> Conversion:
    name = field.name
    numbers = {value: number for number, value in values.items()}

    def write(value: Any, raw: list[bytes]) -> int:
        return numbers[value]

    def read(wire: Any, raw: RawReader) -> Any:
        number = getattr(wire, name)
        if number not in values:
            raise RemoteProtocolError(f"{field.full_name} is {number}, which nobody knows")
        return values[number]

    return Conversion(write if is_text else None, read)


def _of_message(hint: Any, field: FieldDescriptor) -> Conversion:
    is_optional = get_origin(hint) is UnionType
    kind = next(one for one in get_args(hint) if one is not NoneType) if is_optional else hint
    inner = _of_value(kind, field.message_type)
    if kind in _ABSENT:
        return _with_default(field, inner, _ABSENT[kind])
    return _with_default(field, inner, None) if is_optional else _required(field, inner)


def _of_value(kind: Any, descriptor: Descriptor | None) -> ClassConversion:
    return ClassConversion(write_batch, read_batch) if kind is Batch else of_class(kind, descriptor)


def _with_default(field: FieldDescriptor, inner: ClassConversion, default: Any) -> Conversion:
    name, read_inner, write_inner = field.name, inner.read, inner.write

    def write(value: Any, raw: list[bytes]) -> Any:
        return None if value == default else write_inner(value, raw)

    def read(wire: Any, raw: RawReader) -> Any:
        return read_inner(getattr(wire, name), raw) if wire.HasField(name) else default

    return Conversion(write, read)


def _required(field: FieldDescriptor, inner: ClassConversion) -> Conversion:
    name, read_inner = field.name, inner.read

    def read(wire: Any, raw: RawReader) -> Any:
        if not wire.HasField(name):
            raise RemoteProtocolError(f"{field.full_name} is missing")
        return read_inner(getattr(wire, name), raw)

    return Conversion(inner.write, read)


def _of_repeated(kind: Any, field: FieldDescriptor) -> Conversion:
    name = field.name
    if field.message_type is None:
        return Conversion(None, lambda wire, raw: tuple(getattr(wire, name)))
    write_inner, read_inner = _of_value(kind, field.message_type)

    def write(values: Any, raw: list[bytes]) -> Any:
        return [write_inner(value, raw) for value in values]

    def read(wire: Any, raw: RawReader) -> Any:
        return tuple([read_inner(one, raw) for one in getattr(wire, name)])

    return Conversion(write, read)


def _of_entries(field: FieldDescriptor) -> Conversion:
    name = field.name

    def read(wire: Any, raw: RawReader) -> tuple[Entry, ...]:
        return read_entries(getattr(wire, name), raw) if wire.HasField(name) else ()

    return Conversion(write_entries, read)
