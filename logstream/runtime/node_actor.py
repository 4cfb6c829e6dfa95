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

from pykka import Actor, ActorRegistry
from pykka._envelope import Envelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from logstream.core.events import Due
from logstream.protocol.errors import LocalProtocolError
from logstream.runtime.future import LoopFuture
from logstream.runtime.inbox import Inbox, TurnOver, _asleep
from logstream.runtime.refs import SafeRef, To
from logstream.runtime.scheduler import Scheduler, TimerHandle
from logstream.runtime.turns import this_thread

AFTER_PAUSE_S = 0.02  # how long the sockets have to drain after a pause
_PYKKAS = {_ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr}  # messages that are not for on_receive


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


@dataclass(slots=True, eq=False)
class _Timer:
    """A timer that was set: the loop has it until it is due, then the inbox."""

    message: Hashable
    due: float
    handle: TimerHandle | None = None
    is_set: bool = True  # neither heard nor cancelled
    deferred: bool = False  # it has waited for the sockets after a pause already


class NodeActor(Actor):
    """An actor on its node's loop. Subclasses implement on_receive, and report() if they have facts."""

    actor_inbox: Inbox
    waits_after_pause = True  # False: its timers act at once after a pause, because they are what notices it

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self.scheduler = scheduler
        self._to_self = SafeRef[Any](self.actor_ref)
        self._turn_is_coming = False
        self._timers: dict[Hashable, _Timer] = {}
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
        earlier = self._timers.get(timer)
        if earlier is not None:
            self._unset(earlier)
        loop = self.scheduler.loop
        self._timers[timer] = new = _Timer(timer, loop.time() + after_s)
        if after_s == 0.0:
            self._to_self.tell(new)
        else:
            new.handle = loop.call_later(after_s, self._fire, new)

    def cancel_timer(self, timer: Hashable) -> None:
        """Do not hear this timer any more, even if it has fired already."""
        earlier = self._timers.pop(timer, None)
        if earlier is not None:
            self._unset(earlier)

    @staticmethod
    def _unset(timer: _Timer) -> None:
        timer.is_set = False
        if timer.handle is not None:
            timer.handle.cancel()

    def _fire(self, timer: _Timer) -> None:
        """The loop calls when it is due: that is this actor's turn, unless one is coming already."""
        if timer.is_set:
            self.actor_inbox.queue.append(Envelope(timer))
            if not self._turn_is_coming:
                self._run_turn()

    # --- Pykka's hooks ---

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @staticmethod
    def _create_future() -> LoopFuture[Any]:
        return LoopFuture()

    def _start_actor_loop(self) -> None:
        ActorRegistry.unregister(self.actor_ref)  # a global list, searched whenever an actor ends; refs are wired here
        self.scheduler.soon(self._begin)

    def _begin(self) -> None:
        this_thread.in_a_turn = True
        try:
            self._actor_loop_setup()
        finally:
            this_thread.in_a_turn = False
        self.actor_inbox.wake = self._wake
        self._wake()

    def _wake(self) -> None:
        if not self._turn_is_coming:
            self._turn_is_coming = True
            self.scheduler.soon(self._run_turn)

    def _run_turn(self) -> None:
        scheduler, inbox = self.scheduler, self.actor_inbox
        started = scheduler.stopwatch()
        self._turn_is_coming = False
        inbox.share = scheduler.turn
        this_thread.in_a_turn = True
        try:
            self._actor_loop_running()
        except TurnOver:
            if inbox.queue:
                self._wake()
        else:
            self._end()
        finally:
            this_thread.in_a_turn = False
        took = scheduler.stopwatch() - started
        if took > scheduler.longest_turn_s:
            scheduler.measured(took, self.name)

    def _end(self) -> None:
        """Stopped: no more turns or timers; Pykka answers what is left in the inbox."""
        for timer in self._timers.values():
            self._unset(timer)
        self._timers.clear()
        self.actor_inbox.wake, self.actor_inbox.share = _asleep, -1
        self._actor_loop_teardown()
        self.scheduler.actors.pop(self, None)

    def _handle_receive(self, message: Any) -> Any:
        """Dispatch, and keep BaseExceptions from Pykka, which would stop all actors from inside their loop."""
        kind = type(message)
        try:
            if kind is _Timer:
                return self._hear_timer(message)
            if kind is Report:
                return message.reply_to.tell(Reported(self.name, self.report(), message.request))
            result = super()._handle_receive(message) if kind in _PYKKAS else self.on_receive(message)
        except Exception:
            raise
        except BaseException as error:
            raise LocalProtocolError(f"{self.name}: {error!r} while handling {message!r}") from error
        if self.scheduler.observe is not None:
            self.scheduler.observe(self, message)
        return result

    def _hear_timer(self, timer: _Timer) -> None:
        if not timer.is_set:
            return
        scheduler = self.scheduler
        now = scheduler.loop.time()
        if self.waits_after_pause and not timer.deferred and now - timer.due > scheduler.pause_s:
            self._defer(timer)
            return
        timer.is_set = False
        del self._timers[timer.message]
        due = Due(timer.message, now, timer.due)
        self.on_receive(due)
        if scheduler.observe is not None:
            scheduler.observe(self, due)

    def _defer(self, timer: _Timer) -> None:
        """This process was paused (R14): what came in meanwhile is read before the timer acts."""
        timer.deferred = True
        timer.handle = self.scheduler.loop.call_later(AFTER_PAUSE_S, self._fire, timer)

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super()._handle_failure(exception_type, exception_value, traceback)
        if exception_value is not None:
            self.scheduler.failed(self, exception_value)
