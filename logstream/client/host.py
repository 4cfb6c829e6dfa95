"""CoreHost: carries out what a client core wants, on a loop.

    event --> core.handle(event) -> effects -> connections, timers, or the client
                  ^------- connections, timers ------/

The loop is the program's own (logstream.aio), or that of a thread which ThreadHost makes, so that programs
without a loop can call in from any thread. The core runs on the loop's thread alone; only looking for the cluster,
which may take seconds, has a short-lived thread of its own (background.py). All threads are daemons: a program
that ends without closing its clients is not kept alive by them (lifetime.py has their last word).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from logstream.client.background import start_aside
from logstream.client.connection import Connections
from logstream.core.client_effects import Request, SeekCluster
from logstream.core.client_events import ClusterSought
from logstream.core.effects import SetTimer
from logstream.core.events import Due
from logstream.protocol.errors import NoClusterFound

Effect = TypeVar("Effect")
STOP_S = 2.0  # how long the thread may take to end


class CoreHost(Generic[Effect]):
    """Runs a core on a loop. `deliver` gets the effects that are left over; `broke` hears of its exceptions.

    `seek` looks for the cluster and returns addresses of brokers; it raises NoClusterFound. Everything here
    belongs to the loop's thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cluster: str,
        seek: Callable[[], list[str]],
        handle: Callable[[Any], list[Effect]],
        deliver: Callable[[Effect], None],
        broke: Callable[[Exception], None],
    ) -> None:
        self._seek = seek
        self._handle = handle
        self._deliver = deliver
        self._broke = broke
        self._timers: dict[Hashable, asyncio.TimerHandle] = {}
        self._closed = False
        self.loop = loop
        self._connections = Connections(loop, cluster, self.feed, self.feed)

    def feed(self, event: object) -> None:
        """Give the core an event and do what it wants."""
        if self._closed:
            return
        try:
            self.carry_out(self._handle(event))
        except Exception as error:
            self._broke(error)

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what the core wants, in order."""
        for effect in effects:
            if isinstance(effect, Request):
                self._connections.send(effect)
            elif isinstance(effect, SetTimer):
                self._set_timer(effect.timer, effect.after_s)
            elif isinstance(effect, SeekCluster):
                self._start_seeking()
            else:
                self._deliver(effect)

    def close(self) -> None:
        """Hang up; the core hears nothing any more."""
        self._closed = True
        self._connections.close()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _start_seeking(self) -> None:
        try:
            start_aside(self._seek_cluster, "logstream-seek")
        except RuntimeError:  # the program ends, and no thread begins any more: those that are known must do
            self.loop.call_soon(self._found, ())

    def _seek_cluster(self) -> None:
        """On a thread of its own: sockets and files are waited for."""
        try:
            found = tuple(self._seek())
        except (NoClusterFound, OSError, ValueError):
            found = ()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._found, found)

    def _found(self, addresses: tuple[str, ...]) -> None:
        self.feed(ClusterSought(addresses, self.loop.time()))

    def _set_timer(self, timer: Hashable, after_s: float) -> None:
        earlier = self._timers.get(timer)
        if earlier is not None:
            earlier.cancel()
        due = self.loop.time() + after_s
        self._timers[timer] = self.loop.call_later(after_s, self._fire, timer, due)

    def _fire(self, timer: Hashable, due: float) -> None:
        self._timers.pop(timer, None)
        self.feed(Due(timer, self.loop.time(), due))


class ThreadHost(CoreHost[Effect]):
    """A CoreHost with a thread and a loop of its own, for programs that call in from other threads."""

    def __init__(
        self,
        name: str,
        cluster: str,
        seek: Callable[[], list[str]],
        handle: Callable[[Any], list[Effect]],
        deliver: Callable[[Effect], None],
        broke: Callable[[Exception], None],
    ) -> None:
        super().__init__(_new_loop(), cluster, seek, handle, deliver, broke)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call on the loop's thread, soon. From any thread; after `stop` nothing happens."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function, *args)

    def run(self, function: Callable[[], None], timeout_s: float) -> None:
        """Call on the loop's thread and wait until it is done, at most so long."""
        done: Future[None] = Future()

        def call_and_say() -> None:
            try:
                function()
            finally:
                done.set_result(None)

        self.call(call_and_say)
        with contextlib.suppress(TimeoutError):
            done.result(timeout_s)

    def stop(self) -> None:
        """Close the connections and end the thread. From any thread."""
        if threading.current_thread() is self._thread:
            self.loop.stop()
            return
        self.call(self.loop.stop)
        self._thread.join(STOP_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.close()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()
