"""Records: what a producer put in comes out of the batch, and garbage comes out as one kind of error."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from subprocess import run

import pytest
from aiokafka.errors import CorruptRecordException
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.protocol import batches, records
from logstream.protocol.batches import CODECS, FRONT_SIZE, Batch, Compression
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.records import Record, RecordBuilder, codec_number, read

ROOT = Path(__file__).resolve().parents[2]
BYTES = st.one_of(st.none(), st.binary(max_size=60))
HEADERS = st.lists(st.tuples(st.text(max_size=6), st.binary(max_size=6)), max_size=3)
RECORDS = st.lists(st.tuples(BYTES, BYTES, HEADERS, st.integers(0, 2**62)), min_size=1, max_size=20)
COMPRESSIONS = CODECS


def batch_of(builder: RecordBuilder, base_offset: int = 0) -> Batch:
    body = builder.build()
    return Batch(batches.make_front(base_offset, 1, body, batches.crc_of(body)), body)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@settings(max_examples=40, deadline=None)
@given(appended=RECORDS, base_offset=st.integers(0, 2**40))
def test_records_come_out_as_they_went_in(
    compression: Compression,
    appended: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]], int]],
    base_offset: int,
) -> None:
    builder = RecordBuilder(compression)
    for key, value, headers, timestamp_ms in appended:
        assert builder.append(key, value, headers, timestamp_ms)
    assert builder.records == len(appended)
    assert read(batch_of(builder, base_offset)) == [
        Record(base_offset + place, timestamp_ms, key, value, headers)
        for place, (key, value, headers, timestamp_ms) in enumerate(appended)
    ]


def test_no_value_and_an_empty_value_are_told_apart() -> None:
    builder = RecordBuilder()
    builder.append(None, b"", (), 5)
    builder.append(b"", None, (), 5)
    assert [(record.key, record.value) for record in read(batch_of(builder))] == [(None, b""), (b"", None)]


def test_headers_may_be_given_as_any_sequence() -> None:
    builder = RecordBuilder()
    assert builder.append(None, b"v", (("eol", b"0"),), 5)
    assert read(batch_of(builder))[0].headers == [("eol", b"0")]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_record_of_16_MiB_works_in_the_smallest_builder(compression: Compression) -> None:
    value = bytes(range(256)) * (16 * 1024 * 4)
    builder = RecordBuilder(compression, batch_max=100)
    assert builder.append(b"k", value, (), 5)
    assert not builder.append(b"k", b"", (), 5)
    assert [record.value for record in read(batch_of(builder))] == [value]


def test_a_full_builder_says_so_and_keeps_what_it_has() -> None:
    builder = RecordBuilder(batch_max=1000)
    values = [b"%040d" % number for number in range(100)]
    taken = [value for value in values if builder.append(None, value, (), 5)]
    assert taken == values[: len(taken)]
    assert 15 < len(taken) < 25
    assert builder.records == len(taken)
    assert [record.value for record in read(batch_of(builder))] == taken


def test_size_is_that_of_the_batch_before_compression() -> None:
    builder = RecordBuilder()
    for number in range(50):
        builder.append(None, b"%d" % number, (), 5)
    size = builder.size
    assert size == batch_of(builder).size


@pytest.mark.parametrize("timestamp_ms", [-1, 2**63])
def test_a_timestamp_out_of_range_is_refused(timestamp_ms: int) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        RecordBuilder().append(None, b"v", (), timestamp_ms)


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [("key", b"v", []), (b"k", "value", []), (b"k", b"v", [("\udc80", b"")]), (b"k", b"v", [("h", "text")])],
)
def test_what_cannot_be_in_a_record_leaves_the_builder_as_it_was(key: bytes, value: bytes, headers: list) -> None:
    builder = RecordBuilder(batch_max=100)
    with pytest.raises((TypeError, ValueError)):
        builder.append(key, value, headers, 5)
    assert builder.records == 0
    assert builder.append(None, bytes(1000), (), 7)
    with pytest.raises((TypeError, ValueError)):
        builder.append(key, value, headers, 5)
    assert read(batch_of(builder)) == [Record(0, 7, None, bytes(1000), [])]


# --- garbage -------------------------------------------------------------------------------------


def sample(compression: Compression) -> bytes:
    builder = RecordBuilder(compression)
    for number in range(20):
        builder.append(b"key", b"value " * 5, [("header", b"%d" % number)], 1_700_000_000_000)
    return builder.build()


def sealed(body: bytes) -> Batch:
    """A batch whose CRC is right, whatever its body says."""
    return Batch(batches.make_front(0, 0, body, batches.crc_of(body)), body)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=5),
    cut=st.one_of(st.just(10_000), st.integers(0, 300)),
)
def test_a_spoilt_body_with_a_right_crc_never_raises_anything_else(
    compression: Compression, changes: list[tuple[int, int]], cut: int
) -> None:
    body = bytearray(sample(compression))
    for place, byte in changes:
        body[place % len(body)] = byte
    try:
        assert all(isinstance(record, Record) for record in read(sealed(bytes(body[:cut]))))
    except RemoteProtocolError as error:
        assert str(error)


def cause_of(body: bytes) -> BaseException | None:
    with pytest.raises(RemoteProtocolError) as caught:
        read(sealed(body))
    return caught.value.__cause__


def test_a_corrupt_record_is_a_remote_protocol_error() -> None:
    assert isinstance(cause_of(sample("none") + b"more"), CorruptRecordException)


def test_a_header_name_that_is_not_utf8_is_a_remote_protocol_error() -> None:
    assert isinstance(cause_of(sample("none").replace(b"header", b"\xff\xfe\xfdder")), UnicodeDecodeError)


def test_a_wrong_crc_is_a_remote_protocol_error() -> None:
    batch = sealed(sample("none"))
    with pytest.raises(RemoteProtocolError, match="CRC"):
        read(Batch(batch.front, batch.body[:-1] + b"?"))


def test_a_header_without_a_value_reads_as_an_empty_one() -> None:
    body = sample("none").replace(b"\x0cheader\x02" + b"7", b"\x0eheader7\x01")  # same length, value null
    assert read(sealed(body))[7].headers == [("header7", b"")]


# --- compressions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_batch_says_how_it_is_compressed_by_the_number_that_kafka_gave(compression: Compression) -> None:
    named = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
    assert batches.header_of(sample(compression)).codec == named[compression] == codec_number(compression)


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_what_repeats_itself_becomes_smaller(compression: Compression) -> None:
    assert len(sample(compression)) < len(sample("none")) / 2


def test_a_compression_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="no compression 'brotli', there are none, gzip, snappy, lz4, zstd"):
        RecordBuilder("brotli")  # type: ignore[arg-type]


# --- the library ---------------------------------------------------------------------------------


def test_the_compiled_classes_are_in_use() -> None:
    for used in (records.DefaultRecordBatch, records.DefaultRecordBatchBuilder):
        assert used.__module__ == "aiokafka.record._crecords.default_records"
        assert sys.modules[used.__module__].__file__.endswith((".so", ".pyd"))


def test_nothing_else_that_brokers_import_brings_the_record_codec_along() -> None:
    brokers_part = "codec, framing, fragments, batches, messages, envelope, errors, identity"
    code = f"import sys; from logstream.protocol import {brokers_part}; sys.exit('aiokafka' in sys.modules)"
    assert run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def _imports_aiokafka(path: Path) -> bool:
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return any(name.split(".")[0] == "aiokafka" for name in named)


def test_this_is_the_only_module_that_imports_aiokafka() -> None:
    folders = ["logstream", "actors", "transport", "simulation"]
    importing = [path.name for folder in folders for path in (ROOT / folder).rglob("*.py") if _imports_aiokafka(path)]
    assert importing == ["records.py"]


def test_the_body_starts_where_the_front_ends() -> None:
    body = sample("none")
    assert batches.header_of(body).records == 20
    assert batches.check(sealed(body)).producer_id == batches.NO_PRODUCER
    assert sealed(body).size == FRONT_SIZE + len(body)
