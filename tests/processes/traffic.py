"""Traffic on a cluster of real processes, to go on while nodes come, go, die and pause: two producers, three consumers.

Each producer numbers its records and keeps a few of them in flight; each consumer is a process of its own that
writes what it reads to a file. In the end everything that was sent must have been acknowledged, and every
consumer must have every record once and in its producer's order.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections import deque
from pathlib import Path

from logstream.client import Handle, Producer
from tests.processes.local_cluster import LocalCluster, wait_until

TOPIC = "traffic"
PRODUCERS, CONSUMERS = ("a", "b"), 3
IN_FLIGHT = 8  # records of one producer
MORE = 500  # records of each producer after the last change


class Traffic:
    """Producers that go on until they are told to end, and consumers that write what they read to files."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self._cluster = cluster
        self._addresses = [node.address for node in cluster.nodes()]
        self._outputs = [folder / f"consumer-{number}" for number in range(CONSUMERS)]
        self._ending = threading.Event()
        self.sent = dict.fromkeys(PRODUCERS, 0)  # acknowledged ones
        self._threads = [threading.Thread(target=self._produce, args=(name,)) for name in PRODUCERS]
        self._readers: list[subprocess.Popen[bytes]] = []
        self.errors: list[BaseException] = []

    def begin(self) -> None:
        """Start everybody, and return when every consumer has read something."""
        for thread in self._threads:
            thread.start()
        for output in self._outputs:
            wait_until(lambda: all(self.sent.values()))
            self._readers.append(self._cluster.begin("consumer", TOPIC, "--follow", "--output", output))
        wait_until(lambda: all(output.exists() and output.stat().st_size for output in self._outputs))

    def _produce(self, name: str) -> None:
        waiting: deque[Handle] = deque()
        try:
            with Producer(self._addresses, self._cluster.cluster, timeout_s=30) as producer:
                number, left = 0, MORE
                while left or waiting:
                    if left:
                        waiting.append(producer.send(TOPIC, b"%s %d" % (name.encode(), number)))
                        number += 1
                        left -= self._ending.is_set()
                    if len(waiting) == IN_FLIGHT or not left:
                        waiting.popleft().result(30)
                        self.sent[name] += 1
        except BaseException as error:
            self.errors.append(error)

    def wait_for_more(self, records: int = 100) -> None:
        """Return when every producer has so many more records acknowledged."""
        wanted = {name: sent + records for name, sent in self.sent.items()}
        wait_until(lambda: self.errors or all(self.sent[name] >= least for name, least in wanted.items()))
        assert self.errors == []

    def end(self) -> list[bytes]:
        """Let the producers end, wait until all is read, and return what each consumer wrote."""
        self._ending.set()
        for thread in self._threads:
            thread.join(60)
        assert self.errors == []
        wait_until(lambda: all(output.read_bytes().count(b"\n") >= sum(self.sent.values()) for output in self._outputs))
        self.stop_readers()
        return [output.read_bytes() for output in self._outputs]

    def stop_readers(self) -> None:
        """End the consumers; they never end by themselves."""
        self._ending.set()
        for reader in self._readers:
            reader.send_signal(signal.SIGINT)
            reader.communicate(timeout=20)


def check(moving: Traffic, outputs: list[bytes]) -> None:
    """Every consumer has every record of every producer once and in order, and all have the same."""
    assert len(set(outputs)) == 1
    lines = outputs[0].splitlines()
    for name, sent in moving.sent.items():
        numbers = [int(line.split()[1]) for line in lines if line.startswith(name.encode())]
        assert numbers == list(range(sent))
