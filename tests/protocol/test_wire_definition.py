"""The wire definition: the generated module is current, and numbers are where the frame format needs them."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from importlib.resources import files
from typing import Any, get_args

import pytest

from logstream.protocol import identity, logstream_pb2, messages
from logstream.protocol.errors import ErrorCode, LocalProtocolError
from logstream.protocol.messages import EntryKind, Message

PACKAGE = files("logstream.protocol")
MESSAGES = logstream_pb2.DESCRIPTOR.message_types_by_name


def test_the_generated_module_belongs_to_the_definition_beside_it() -> None:
    digest = hashlib.sha256((PACKAGE / "logstream.proto").read_bytes()).hexdigest()
    last = (PACKAGE / "logstream_pb2.py").read_text().splitlines()[-1]
    assert last == f"# sha256 of logstream.proto: {digest}", "logstream.proto has changed: run `make proto`"


@pytest.mark.parametrize(("python", "name"), [(ErrorCode, "ErrorCode"), (EntryKind, "EntryKind")])
def test_enums_have_the_same_numbers_on_both_sides(python: Any, name: str) -> None:
    prefix = "".join(f"_{letter}" if letter.isupper() else letter for letter in name).strip("_").upper()
    numbers = {value.name: value.number for value in logstream_pb2.DESCRIPTOR.enum_types_by_name[name].values}
    assert numbers == {f"{prefix}_{member.name}": int(member) for member in python}


def test_every_message_has_its_place_in_the_envelope() -> None:
    oneof = MESSAGES["Envelope"].oneofs_by_name["message"]
    assert {field.message_type.name for field in oneof.fields} == {kind.__name__ for kind in get_args(Message)}


def _pairs() -> list[tuple[type[Any], Any]]:
    kinds = {name: kind for module in (identity, messages) for name, kind in vars(module).items() if is_dataclass(kind)}
    return [(kind, MESSAGES[name]) for name, kind in kinds.items() if name in MESSAGES]


@pytest.mark.parametrize(("kind", "descriptor"), _pairs(), ids=lambda value: getattr(value, "__name__", ""))
def test_fields_have_ascending_numbers_in_the_order_of_the_dataclass(kind: type[Any], descriptor: Any) -> None:
    """The raw bytes lie in the order of the dataclass's fields: another program finds them by the numbers."""
    numbers = [
        descriptor.fields_by_name[field.name].number
        for field in fields(kind)
        if field.name in descriptor.fields_by_name
    ]
    assert numbers == sorted(numbers)


def test_a_field_that_only_one_side_knows_is_found_at_once() -> None:
    from logstream.protocol.conversion import of_class

    with pytest.raises(LocalProtocolError, match="differ in"):
        of_class(messages.Nack, MESSAGES["Leave"])
