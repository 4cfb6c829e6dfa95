"""Hosting one node in this process: its loop, its signals, its log sinks and its file.

    lock the node file -> start the node -> ready -> ... -> SIGTERM or SIGINT -> leave -> on_stopped -> exit

The first signal asks for a clean leave, the second ends the process at once. What a node is, this
module does not know: the composition root hands in a function that makes one.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from loguru import logger

from logstream.console.failure import FAILED, Failure
from logstream.settings import Settings
from logstream.state import NameTaken, NodeFile, NodeLock

if TYPE_CHECKING:
    from loguru import Record

_GIVE_UP_S = 2.0  # beyond the time that a node may take to leave: then something is stuck
_NOT_SHOWN = {"node", "actor"}  # fields that have a column of their own


class Node(Protocol):
    """What can be hosted."""

    on_ready: Callable[[], None]
    on_stopped: Callable[[int, str], None]

    def start(self) -> None:
        """Bind and start. Raises OSError or ValueError with a sentence."""
        ...

    def stop(self) -> None:
        """Leave cleanly; on_stopped is called when that is done."""
        ...

    def dump(self) -> None:
        """Write what every actor is doing to the log."""
        ...


def host(
    settings: Settings,
    make_node: Callable[[Settings, asyncio.AbstractEventLoop], Node],
    managed: bool,
    tell: Callable[[str], None],
) -> int:
    """Run a node until it stops; returns the exit code. Raises Failure when it cannot start.

    `settings.node` must have a name and an address. `tell` is given READY=1 and STOPPING=1, for a service manager.
    """
    open_sinks(settings)
    lock = _locked(settings, managed)
    try:
        return _Host(settings, lock, make_node, tell).run()
    finally:
        lock.release()


def _locked(settings: Settings, managed: bool) -> NodeLock:
    node = NodeFile(
        name=settings.node.name,
        cluster=settings.shared.cluster,
        pid=os.getpid(),
        started=time.time(),
        address=settings.node.address,
        broadcast_port=settings.node.broadcast_port,
        multicast=f"{settings.node.multicast_group}:{settings.node.multicast_port}",
        managed=managed,
    )
    try:
        return NodeLock.take(settings.state_folder, node)
    except NameTaken as error:
        raise Failure(f"{error}, choose another with --name") from None
    except OSError as error:
        raise Failure(
            f"cannot use the state folder {settings.state_folder}: {error.strerror}, set LOGSTREAM_HOME"
        ) from None


class _Host:
    """One node on one loop, from start to exit."""

    def __init__(
        self,
        settings: Settings,
        lock: NodeLock,
        make_node: Callable[[Settings, asyncio.AbstractEventLoop], Node],
        tell: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._lock = lock
        self._tell = tell
        self._loop = new_loop()
        self._node = make_node(settings, self._loop)
        self._node.on_ready = self._ready
        self._node.on_stopped = self._stopped
        self._stopping = False
        self._exit_code = FAILED

    def run(self) -> int:
        """Start, run until stopped, and return the exit code."""
        asyncio.set_event_loop(self._loop)
        try:
            self._node.start()
            self._hear_signals()
            self._loop.run_forever()
        except (OSError, ValueError) as error:
            raise Failure(_why_not(self._settings, error)) from None
        finally:
            self._loop.close()
        return self._exit_code

    def _hear_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._asked_to_stop)
        self._loop.add_signal_handler(signal.SIGUSR1, self._node.dump)

    def _ready(self) -> None:
        """Everything that start-up made lives as long as the node: the collector need not look at it again."""
        self._lock.ready()
        self._tell("READY=1")
        name, address, cluster = self._lock.node.name, self._lock.node.address, self._lock.node.cluster
        print(f"logstream: ready: node {name} at {address}, cluster {cluster}", file=sys.stderr, flush=True)
        gc.collect()
        gc.freeze()

    def _asked_to_stop(self) -> None:
        if self._stopping:
            os._exit(FAILED)
        self._stopping = True
        self._tell("STOPPING=1")
        self._loop.call_later(
            self._settings.shared.leave_s + _GIVE_UP_S, self._stopped, FAILED, "it did not stop in time"
        )
        self._node.stop()

    def _stopped(self, exit_code: int, reason: str) -> None:
        self._exit_code = exit_code
        if exit_code:
            print(f"logstream: node {self._lock.node.name} ended: {reason}", file=sys.stderr, flush=True)
        self._loop.stop()


def _why_not(settings: Settings, error: Exception) -> str:
    """In words, why the node could not start."""
    node = settings.node
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        origin = settings.origin("node", "address")
        return f"{node.address} is in use by another program (address: {origin}), choose another port with --address"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"{node.address} is not allowed: {error.strerror} (address: {settings.origin('node', 'address')})"
    return f"cannot start node {node.name}: {error}"


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's loop where it exists, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


# --- log sinks ---


def open_sinks(settings: Settings) -> None:
    """Log to stderr, and to a file if the settings name one; forward what Pykka logs. Raises Failure."""
    level = settings.node.log_level.upper()
    logger.remove()
    logger.configure(extra={"node": settings.node.name, "actor": "-"})
    logger.add(sys.stderr, level=level, format=_line, backtrace=False, diagnose=False)
    if settings.node.log_file:
        try:
            logger.add(settings.node.log_file, level=level, format=_line, backtrace=False, diagnose=False)
        except OSError as error:
            raise Failure(f"cannot write the log file {settings.node.log_file}: {error.strerror}") from None
    pykka_log = logging.getLogger("pykka")
    pykka_log.handlers, pykka_log.propagate = [_Forward()], False
    pykka_log.setLevel(logging.WARNING)


def _line(record: Record) -> str:
    """Time, level, node, actor, the constant text, then the fields; loguru fills in the template."""
    fields = "".join(f" {key}={{extra[{key}]}}" for key in record["extra"] if key not in _NOT_SHOWN)
    return (
        "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <7} {extra[node]} {extra[actor]}: {message}" + fields + "\n{exception}"
    )


class _Forward(logging.Handler):
    """Hands records of the standard library's logging to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        exception: Any = record.exc_info
        logger.bind(actor=record.name).opt(exception=exception).log(record.levelname, record.getMessage())
