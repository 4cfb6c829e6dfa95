"""NodeActor: the actor type of this project, a real Pykka actor that takes turns on its node's loop.

Pykka leaves three hooks to an actor type: what its inbox is, what its futures are, and how its
receive loop is started. Here the receive loop runs in turns (see inbox.py), so a node of twenty
actors is one thread, messages between them cost no context switch, and a simulator that owns the
loop owns all order and all time.

An actor sets timers by message: the message comes back as Due(message) unless it was cancelled or
set again in between. A timer that fired while its cancellation was on the way is dropped here, so
no core ever sees a timer that it has cancelled.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pykka import Actor

from logstream.core.events import Due
from logstream.protocol.errors import LocalProtocolError
from logstream.runtime.future import LoopFuture
from logstream.runtime.inbox import Inbox, TurnOver, _asleep
from logstream.runtime.refs import To
from logstream.runtime.scheduler import Scheduler, TimerHandle
from logstream.runtime.turns import a_turn

AFTER_PAUSE_S = 0.02  # how long the sockets have to drain after a pause


@dataclass(frozen=True, slots=True)
class Reported:
    """What an actor says about itself."""

    actor: str
    facts: dict[str, Any]
    request: int


@dataclass(frozen=True, slots=True)
class Report:
    """Say how you are: a ping, a part of `status`, a line of the dump on SIGUSR1."""

    reply_to: To[Reported]
    request: int


@dataclass(frozen=True, slots=True)
class _TimerFired:
    timer: Hashable
    handle: TimerHandle
    due: float
    deferred: bool = False  # it has waited for the sockets after a pause already


class _Next:
    """The handle of a timer that is in the inbox already."""

    def cancel(self) -> None:
        """Nothing to cancel: the timer is dropped when it is heard."""


_NEXT = _Next()


class NodeActor(Actor):
    """An actor on its node's loop. Subclasses implement on_receive, and report() if they have facts."""

    actor_inbox: Inbox
    waits_after_pause = True  # False: its timers act at once after a pause, because they are what notices it

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self.scheduler = scheduler
        self._turn_is_coming = False
        self._timers: dict[Hashable, TimerHandle] = {}
        scheduler.actors[self] = None

    @property
    def name(self) -> str:
        """What `status` and the log call this actor."""
        return type(self).__name__

    def report(self) -> dict[str, Any]:
        """Facts about this actor for `status`; JSON-able."""
        return {}

    # --- timers ---

    def set_timer(self, timer: Hashable, after_s: float) -> None:
        """Hear Due(timer) after so many seconds, instead of whenever it was set for before.

        After 0 seconds means: after everything that is in the inbox now.
        """
        self.cancel_timer(timer)
        due = self.scheduler.loop.time() + after_s
        if after_s == 0.0:
            self._timers[timer] = _NEXT
            self.actor_ref.tell(_TimerFired(timer, _NEXT, due))
            return
        handle = self.scheduler.loop.call_later(after_s, self._fire, timer, due)
        self._timers[timer] = handle

    def cancel_timer(self, timer: Hashable) -> None:
        """Do not hear this timer any more, even if it has fired already."""
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _fire(self, timer: Hashable, due: float, deferred: bool = False) -> None:
        handle = self._timers.get(timer)
        if handle is not None and not self.actor_stopped.is_set():
            self.actor_ref.tell(_TimerFired(timer, handle, due, deferred))

    # --- Pykka's hooks ---

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @staticmethod
    def _create_future() -> LoopFuture[Any]:
        return LoopFuture()

    def _start_actor_loop(self) -> None:
        self.scheduler.soon(self._begin)

    def _begin(self) -> None:
        with a_turn():
            self._actor_loop_setup()
        self.actor_inbox.wake = self._wake
        self._wake()

    def _wake(self) -> None:
        if not self._turn_is_coming:
            self._turn_is_coming = True
            self.scheduler.soon(self._run_turn)

    def _run_turn(self) -> None:
        started = self.scheduler.stopwatch()
        self._turn_is_coming = False
        self.actor_inbox.share = self.scheduler.turn
        try:
            with a_turn():
                self._actor_loop_running()
        except TurnOver:
            if self.actor_inbox.queue:
                self._wake()
        else:
            self._end()
        self.scheduler.measured(self.scheduler.stopwatch() - started, self.name)

    def _end(self) -> None:
        """Stopped: no more turns or timers; Pykka answers what is left in the inbox."""
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self.actor_inbox.wake, self.actor_inbox.share = _asleep, -1
        self._actor_loop_teardown()
        self.scheduler.actors.pop(self, None)

    def _handle_receive(self, message: Any) -> Any:
        """Dispatch, and keep BaseExceptions from Pykka, which would stop all actors from inside their loop."""
        try:
            if type(message) is _TimerFired:
                return self._hear_timer(message)
            if type(message) is Report:
                return message.reply_to.tell(Reported(self.name, self.report(), message.request))
            result = super()._handle_receive(message)
        except Exception:
            raise
        except BaseException as error:
            raise LocalProtocolError(f"{self.name}: {error!r} while handling {message!r}") from error
        if self.scheduler.observe is not None:
            self.scheduler.observe(self, message)
        return result

    def _hear_timer(self, fired: _TimerFired) -> None:
        if self._timers.get(fired.timer) is fired.handle:
            now = self.scheduler.loop.time()
            if self.waits_after_pause and not fired.deferred and now - fired.due > self.scheduler.pause_s:
                self._defer(fired)
                return
            del self._timers[fired.timer]
            due = Due(fired.timer, now, fired.due)
            self.on_receive(due)
            if self.scheduler.observe is not None:
                self.scheduler.observe(self, due)

    def _defer(self, fired: _TimerFired) -> None:
        """This process was paused (R14): what came in meanwhile is read before the timer acts."""
        again = self.scheduler.loop.call_later(AFTER_PAUSE_S, self._fire, fired.timer, fired.due, True)
        self._timers[fired.timer] = again

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super()._handle_failure(exception_type, exception_value, traceback)
        if exception_value is not None:
            self.scheduler.failed(self, exception_value)
