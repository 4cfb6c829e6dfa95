"""A machine: what one node sees of the virtual loop, and everything that can be wrong with it.

    free ---pause---> paused ---resume---> what piled up, at once ---> free
    free ---slow----> each callback takes time, the others wait ---> free again when all have run
    any  ---kill----> dead: nothing of it ever runs again

A paused process (SIGSTOP, a laptop's lid, a long collection) does not know that it is paused: its
timers come due and what the network brings waits in the kernel, and all of it is there when it wakes.
Its clock runs on meanwhile. No two machines' clocks show the same, and they do not run equally fast.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from simulation.pretended.virtual_loop import VirtualHandle, VirtualLoop

EPOCH_S = 1_700_000_000.0  # of the wall clocks, about 2023


class Machine:
    """A loop for one node. `rate` is how fast its monotonic clock runs, `uptime_s` what it showed at the start."""

    def __init__(self, loop: VirtualLoop, rate: float = 1.0, uptime_s: float = 0.0) -> None:
        self.alive = True
        self.free = True  # alive, awake and not busy: callbacks run when they are due
        self.paused = False
        self.waiting: deque[VirtualHandle] = deque()
        self.wall_step_s = 0.0
        self._loop = loop
        self._rate = rate
        self._uptime_s = uptime_s - loop.time() * rate
        self._catching_up = False
        self._cost_s = 0.0  # of each callback, while it is slow
        self._slow_until = 0.0

    # --- what a Scheduler uses ---

    def time(self) -> float:
        """Seconds of this machine's monotonic clock."""
        return self._loop.time() * self._rate + self._uptime_s

    def wall_time(self) -> float:
        """Seconds since 1970 by this machine's wall clock, which may jump."""
        return EPOCH_S + self._loop.time() + self.wall_step_s

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> VirtualHandle:
        """Call after so many seconds of this machine's clock, if it still lives."""
        task = VirtualHandle(callback, args, self)
        self._loop.schedule(delay / self._rate, task)
        return task

    def call_soon(self, callback: Callable[..., object], *args: Any) -> VirtualHandle:
        """Call at this instant, if the machine can."""
        task = VirtualHandle(callback, args, self)
        self._loop.schedule(0.0, task)
        return task

    call_soon_threadsafe = call_soon

    def run_here(self, callback: Callable[..., object], *args: Any) -> None:
        """What came from outside: call at once, or as soon as the machine can, after what waits already."""
        if self.free:
            callback(*args)
        else:
            self.keep(VirtualHandle(callback, args, self))

    def keep(self, handle: VirtualHandle) -> None:
        """This is due, and the machine is not free: it waits for its turn; on a dead one nothing does."""
        if self.alive:
            self.waiting.append(handle)

    # --- what can go wrong ---

    def kill(self) -> None:
        """kill -9: whatever was scheduled never happens."""
        self.alive = self.free = False
        self.waiting.clear()

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused, self.free = True, False

    def resume(self) -> None:
        """SIGCONT: everything that came due or arrived meanwhile happens now, in its order."""
        if self.paused:
            self.paused = False
            self._catch_up_after(0.0)

    def slow(self, cost_s: float, for_s: float) -> None:
        """For a while each callback takes so long, and the next one waits for it."""
        self._cost_s, self._slow_until = cost_s, self._loop.time() + for_s
        if self.free:
            self.free = False
            self._catch_up_after(0.0)

    def _catch_up_after(self, delay: float) -> None:
        if not self._catching_up:
            self._catching_up = True
            self._loop.call_later(delay, self._catch_up)

    def _catch_up(self) -> None:
        """Run what waits: all of it, or one callback after the other while the machine is slow."""
        self._catching_up = False
        slow = self._loop.time() < self._slow_until
        for _ in range(1 if slow else len(self.waiting)):
            if self.waiting and self.alive and not self.paused:
                task = self.waiting.popleft()
                if task.callback is not None:
                    task.callback(*task.arguments)
        if self.alive and not self.paused:
            self.free = not slow and not self.waiting
            if not self.free:
                self._catch_up_after(self._cost_s if slow else 0.0)
