"""Producer on real sockets, against fake brokers that deduplicate as R12 says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loguru import logger

from logstream import (
    DataLost,
    Handle,
    InvalidRequest,
    InvalidTopic,
    LogStreamError,
    NoClusterFound,
    Producer,
    RecordTooLarge,
    RequestTimedOut,
    UnknownTopic,
)
from logstream.core.producer import ProducerCore
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import ClientRequest, ClientResponse, Produce, ProduceResponse
from logstream.protocol.records import read
from tests.client.fake_broker import FakeBrokers

ROOT = Path(__file__).parents[2]


def values(brokers: FakeBrokers, topic: str, partition: int = 0) -> list[bytes | None]:
    """What the log of a partition holds."""
    batches = brokers.model.topics[topic].partitions[partition].batches
    return [record.value for batch in batches for record in read(batch)]


def wait_until(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Wait for a condition, not for a time."""
    tick, end = threading.Event(), time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        tick.wait(0.002)


def test_a_record_gets_its_offset(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses[0]) as producer:
        assert [producer.send("t", b"a").result(5), producer.send("t", b"b").result(5)] == [0, 1]
    assert values(brokers, "t") == [b"a", b"b"]


def test_key_headers_and_the_difference_between_empty_and_none_arrive(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses) as producer:
        producer.send("t", b"", key=b"k", headers=[("eol", b"0")])
        producer.send("t", None)
    records = [record for batch in brokers.model.topics["t"].partitions[0].batches for record in read(batch)]
    assert [(record.key, record.value, list(record.headers)) for record in records] == [
        (b"k", b"", [("eol", b"0")]),
        (None, None, []),
    ]


def test_a_handle_knows_its_partition(brokers: FakeBrokers) -> None:
    brokers.model.make("wide", 4)
    with Producer(brokers.addresses) as producer:
        handle = producer.send("wide", b"v", partition=3)
        handle.result(5)
    assert (handle.partition, handle.done()) == (3, True)
    assert values(brokers, "wide", 3) == [b"v"]


def test_many_records_arrive_in_order(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses) as producer:
        handles = [producer.send("t", b"%d" % number) for number in range(20_000)]
    assert values(brokers, "t") == [b"%d" % number for number in range(20_000)]
    assert [handle.result(0) for handle in handles] == list(range(20_000))


def test_a_bulk_says_where_its_records_are(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses) as producer:
        bulk = producer.send_many("t", (b"%d" % number for number in range(5_000)))
        runs = bulk.result(10)
    assert sum(run.records for run in runs) == bulk.acknowledged == bulk.total == 5_000
    assert [run.first for run in runs] == [run.offset for run in runs]
    assert bulk.first_unacknowledged is None
    assert values(brokers, "t") == [b"%d" % number for number in range(5_000)]


def test_an_empty_bulk_is_done(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses) as producer:
        assert producer.send_many("t", []).result(1) == []


def test_a_bulk_with_a_record_over_the_limit_names_it_and_sends_the_others(brokers: FakeBrokers) -> None:
    brokers.model.record_max = 10
    producer = Producer(brokers.addresses)
    bulk = producer.send_many("t", [b"a", b"x" * 11, b"b"])
    with pytest.raises(RecordTooLarge):
        bulk.result(5)
    producer.close()
    assert (bulk.first_unacknowledged, bulk.acknowledged) == (1, 2)
    assert [(given_up.first, given_up.records, type(given_up.error)) for given_up in bulk.given_up] == [
        (1, 1, RecordTooLarge)
    ]
    assert values(brokers, "t") == [b"a", b"b"]


def test_handles_can_be_awaited(brokers: FakeBrokers) -> None:
    async def produce(producer: Producer) -> list[int]:
        return [await producer.send("t", b"a"), await producer.send("t", b"b")]

    with Producer(brokers.addresses) as producer:
        assert asyncio.run(produce(producer)) == [0, 1]


def test_several_threads_can_wait_for_one_handle(brokers: FakeBrokers) -> None:
    brokers.hold = True
    with Producer(brokers.addresses) as producer:
        handle, offsets = producer.send("t", b"a"), []
        threads = [threading.Thread(target=lambda: offsets.append(handle.result(5))) for _ in range(4)]
        for thread in threads:
            thread.start()
        brokers.release()
        for thread in threads:
            thread.join(5)
    assert offsets == [0, 0, 0, 0]


def test_connections_that_break_lose_repeat_and_reorder_nothing(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses) as producer:
        for number in range(3_000):
            producer.send("t", b"%d" % number)
            if number % 500 == 250:
                wait_until(lambda: "t" in brokers.model.topics)
                brokers.break_connections()
    assert values(brokers, "t") == [b"%d" % number for number in range(3_000)]


def test_a_lost_answer_does_not_repeat_the_record(brokers: FakeBrokers) -> None:
    lost: list[object] = []

    def lose_the_first_answer(request: ClientRequest) -> ClientResponse | None:
        if isinstance(request, Produce) and not lost:
            lost.append(brokers.model.answer(brokers.addresses[0], request))
            return ProduceResponse(ErrorCode.RETRY, "the answer is lost")
        return None

    brokers.spoil = lose_the_first_answer
    with Producer(brokers.addresses) as producer:
        assert producer.send("t", b"once").result(5) == 0
    assert values(brokers, "t") == [b"once"]


def test_a_partition_that_moves_is_followed(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses) as producer:
        producer.send("t", b"a").result(5)
        brokers.model.move("t", 0, brokers.addresses[1])
        assert producer.send("t", b"b").result(5) == 1
    assert values(brokers, "t") == [b"a", b"b"]


def test_a_cluster_that_was_continued_by_force_is_told_by_the_next_flush(brokers: FakeBrokers) -> None:
    producer = Producer(brokers.addresses)
    producer.send("t", b"a").result(5)
    brokers.model.lineage = Epoch(1001, "n1", "s")
    producer.send("t", b"b").result(5)
    with pytest.raises(DataLost, match="continued by force"):
        producer.flush(5)
    producer.send("t", b"c").result(5)
    producer.close()


def test_the_deadline_raises_the_brokers_last_reason(brokers: FakeBrokers) -> None:
    text = "no commit for 3 s: member n2 does not answer"
    brokers.spoil = lambda request: ProduceResponse(ErrorCode.RETRY, text) if isinstance(request, Produce) else None
    producer = Producer(brokers.addresses, timeout_s=0.5)
    with pytest.raises(RequestTimedOut, match=text):
        producer.send("t", b"a").result(5)
    producer.close()


def test_result_with_a_time_out_of_its_own_raises_and_the_record_goes_on(brokers: FakeBrokers) -> None:
    brokers.hold = True
    with Producer(brokers.addresses) as producer:
        handle = producer.send("t", b"a")
        with pytest.raises(TimeoutError):
            handle.result(0.01)
        brokers.release()
        assert handle.result(5) == 0


def test_a_full_buffer_makes_send_wait_and_then_say_so(brokers: FakeBrokers) -> None:
    brokers.hold = True
    producer = Producer(brokers.addresses, timeout_s=0.3, buffer_max=1000)
    with pytest.raises(RequestTimedOut, match="buffer_max"):
        for _ in range(100):
            producer.send("t", b"x" * 100)
    with pytest.raises(RequestTimedOut):
        producer.close()


def test_a_buffer_that_is_smaller_than_the_records_only_slows_down(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses, buffer_max=5_000) as producer:
        for number in range(2_000):
            producer.send("t", b"%d" % number)
    assert values(brokers, "t") == [b"%d" % number for number in range(2_000)]


def test_close_raises_what_nobody_was_told_of(brokers: FakeBrokers) -> None:
    brokers.model.create = False
    producer = Producer(brokers.addresses)
    producer.send("nowhere", b"a")
    producer.send("nowhere", b"b")
    with pytest.raises(UnknownTopic, match=r"nowhere.*1 more"):
        producer.close()


def test_close_is_quiet_about_what_was_raised_already(brokers: FakeBrokers) -> None:
    brokers.model.create = False
    producer = Producer(brokers.addresses)
    with pytest.raises(UnknownTopic):
        producer.send("nowhere", b"a").result(5)
    producer.close()


def test_close_gives_up_in_time_and_every_handle_is_done(brokers: FakeBrokers) -> None:
    brokers.hold = True
    producer = Producer(brokers.addresses)
    handle = producer.send("t", b"a")
    with pytest.raises(RequestTimedOut):
        producer.close(timeout=0.05)
    assert handle.done()
    with pytest.raises(LogStreamError, match="closed"):
        producer.send("t", b"b")


def test_flush_waits_for_everything(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses) as producer:
        handles = [producer.send("t", b"%d" % number) for number in range(100)]
        producer.flush(5)
        assert all(handle.done() for handle in handles)
        brokers.hold = True
        producer.send("t", b"late")
        with pytest.raises(RequestTimedOut):
            producer.flush(0.01)
        brokers.release()


def test_what_cannot_be_a_record_fails_alone(brokers: FakeBrokers) -> None:
    producer = Producer(brokers.addresses)
    bad = producer.send("t", b"a", headers=[("no UTF-8: \ud800", b"")])
    good = producer.send("t", b"b")
    with pytest.raises(InvalidRequest):
        bad.result(5)
    assert good.result(5) == 0
    producer.close()


@pytest.mark.parametrize("name", ["", "no topic", "no UTF-8: \udc80"])
def test_a_record_for_what_no_topic_can_be_named_fails_alone(brokers: FakeBrokers, name: str) -> None:
    with Producer(brokers.addresses) as producer:
        bad, bulk, good = producer.send(name, b"a"), producer.send_many(name, [b"b", b"c"]), producer.send("t", b"d")
        assert isinstance(bad.exception(5), InvalidTopic) and isinstance(bulk.exception(5), InvalidTopic)
        assert good.result(5) == 0


def test_a_record_of_ten_mebibytes_arrives(brokers: FakeBrokers) -> None:
    big = bytes(range(256)) * 40_960
    with Producer(brokers.addresses) as producer:
        producer.send("t", b"before")
        producer.send("t", big)
        producer.send("t", b"after")
    assert values(brokers, "t") == [b"before", big, b"after"]


def test_nobody_there_says_what_was_tried() -> None:
    with pytest.raises(NoClusterFound, match=r"127.0.0.1:1 \(connection refused\)"):
        Producer("127.0.0.1:1")


def test_a_program_that_does_not_close_its_producer_still_delivers(brokers: FakeBrokers) -> None:
    program = f"from logstream import Producer; Producer({brokers.addresses[0]!r}).send('t', b'last word')"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=20)
    assert values(brokers, "t") == [b"last word"]


def test_a_program_that_leaves_undeliverable_records_ends_and_says_so(brokers: FakeBrokers) -> None:
    brokers.hold = True
    program = (
        "import logstream.client.lifetime as lifetime; lifetime.LAST_WORD_S = 0.2\n"
        f"from logstream import Producer; Producer({brokers.addresses[0]!r}).send('t', b'lost')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert "not closed before the program ended" in done.stderr


def test_a_child_process_after_a_fork_is_refused(brokers: FakeBrokers) -> None:
    program = (
        "import os\n"
        "from logstream import LogStreamError, Producer\n"
        f"producer = Producer({brokers.addresses[0]!r})\n"
        "producer.send('t', b'parent').result(5)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        producer.send('t', b'child')\n"
        "    except LogStreamError as error:\n"
        "        os._exit(7 if 'fork' in str(error) else 8)\n"
        "    os._exit(9)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
        "producer.send('t', b'parent again').result(5)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=20)
    assert values(brokers, "t") == [b"parent", b"parent again"]


def test_a_child_process_can_have_a_producer_whatever_was_locked_at_the_fork(brokers: FakeBrokers) -> None:
    program = (
        "import os, signal\n"
        "from logstream import Producer\n"
        "from logstream.client import handles\n"
        "with handles._settling:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        signal.alarm(10)\n"
        f"        Producer({brokers.addresses[0]!r}).send('t', b'child').result()\n"
        "        os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=20)
    assert values(brokers, "t") == [b"child"]


def test_callbacks_hear_of_deliveries_and_failures(brokers: FakeBrokers) -> None:
    heard: list[tuple[int, str]] = []

    def delivered(handle: Handle) -> None:
        heard.append((handle.offset, type(handle.exception()).__name__))

    with Producer(brokers.addresses) as producer:
        producer.send("t", b"a", on_delivery=delivered).result(5)
        producer.send("t", b"b", partition=7).add_done_callback(delivered)
        producer.flush(5)
        bulk = producer.send_many("t", [b"c", b"d"], on_delivery=lambda handle: heard.append((handle.total, "")))
        bulk.result(5)
        producer.flush(5)
    assert heard == [(0, "NoneType"), (-1, "InvalidRequest"), (2, "")]


def test_a_callback_that_raises_is_said_on_the_log_and_harms_nobody(
    brokers: FakeBrokers,
) -> None:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)))
    try:
        with Producer(brokers.addresses) as producer:
            producer.send("t", b"a").add_done_callback(lambda handle: 1 / 0)
            assert producer.send("t", b"b").result(5) == 1
    finally:
        logger.remove(sink)
    assert "a callback of a handle raised an exception" in said[0]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_callback_cannot_end_the_producers_thread(brokers: FakeBrokers, error: type[BaseException]) -> None:
    def end(handle: Handle) -> None:
        raise error

    with Producer(brokers.addresses) as producer:
        producer.send("t", b"a", on_delivery=end)
        producer.flush(5)
        assert producer.send("t", b"b").result(5) == 1


def test_a_callback_of_a_settled_handle_can_end_the_program(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses) as producer:
        handle = producer.send("t", b"a")
        handle.result(5)
        with pytest.raises(SystemExit):
            handle.add_done_callback(lambda handle: sys.exit())


def test_a_failed_handle_has_its_error_and_the_program_has_been_told(brokers: FakeBrokers) -> None:
    brokers.model.create = False
    with Producer(brokers.addresses) as producer:
        assert isinstance(producer.send("nowhere", b"a").exception(5), UnknownTopic)


def test_after_a_fault_of_ours_every_handle_has_an_error_and_nothing_is_taken_any_more(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(core: ProducerCore, event: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(ProducerCore, "handle", fault)
    producer = Producer(brokers.addresses)
    handle = producer.send("t", b"a")
    with pytest.raises(LogStreamError, match="a bug"):
        handle.result(5)
    with pytest.raises(LogStreamError, match="a bug"):
        producer.send_many("t", [b"b"])
    producer.close()


def test_importing_the_library_loads_no_codec_and_no_client() -> None:
    program = "import sys, logstream; assert not {'aiokafka', 'logstream.client', 'asyncio'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=20)
