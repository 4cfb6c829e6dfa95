"""A machine: pauses, slowness, death and clocks of one node."""

from __future__ import annotations

import pytest

from simulation.pretended.machine import Machine
from simulation.pretended.virtual_loop import EndlessInstant, VirtualLoop


@pytest.fixture
def loop() -> VirtualLoop:
    return VirtualLoop(1)


@pytest.fixture
def machine(loop: VirtualLoop) -> Machine:
    return Machine(loop)


def test_what_came_due_in_a_pause_happens_at_once_and_in_order_after_it(loop: VirtualLoop, machine: Machine) -> None:
    done: list[tuple[str, float]] = []
    for name, after_s in (("first", 0.1), ("second", 0.2), ("third", 5.0)):
        machine.call_later(after_s, lambda name=name: done.append((name, loop.time())))
    machine.pause()
    loop.run_for(1.0)
    assert done == []
    machine.resume()
    loop.run_for(0.0)
    assert done == [("first", 1.0), ("second", 1.0)]
    loop.run_for(10.0)
    assert done[2:] == [("third", 5.0)]


def test_what_arrives_in_a_pause_comes_after_what_waits_already(loop: VirtualLoop, machine: Machine) -> None:
    done: list[str] = []
    machine.pause()
    machine.run_here(done.append, "one")
    machine.run_here(done.append, "two")
    machine.resume()
    loop.run_for(0.0)
    assert done == ["one", "two"]


def test_a_timer_that_is_cancelled_in_a_pause_does_not_happen(loop: VirtualLoop, machine: Machine) -> None:
    done: list[str] = []
    machine.pause()
    handle = machine.call_later(0.1, done.append, "cancelled")
    loop.run_for(1.0)
    handle.cancel()
    machine.resume()
    loop.run_for(1.0)
    assert done == []


def test_a_machine_that_is_paused_again_while_it_catches_up_stops_there(loop: VirtualLoop, machine: Machine) -> None:
    done: list[str] = []
    machine.pause()
    machine.run_here(machine.pause)
    machine.run_here(done.append, "later")
    machine.resume()
    loop.run_for(1.0)
    assert done == []
    machine.resume()
    loop.run_for(1.0)
    assert done == ["later"]


def test_on_a_slow_machine_each_callback_takes_its_time_and_none_overtakes(loop: VirtualLoop, machine: Machine) -> None:
    done: list[tuple[int, float]] = []
    machine.slow(0.1, for_s=1.0)
    for number in range(3):
        machine.call_later(0.01 * number, lambda number=number: done.append((number, round(loop.time(), 3))))
    loop.run_for(3.0)
    assert [number for number, _ in done] == [0, 1, 2]
    assert done[2][1] - done[1][1] == pytest.approx(0.1)
    machine.call_soon(lambda: done.append((3, loop.time())))
    loop.run_for(0.0)
    assert done[3] == (3, 3.0)


def test_nothing_of_a_dead_machine_happens(loop: VirtualLoop, machine: Machine) -> None:
    done: list[str] = []
    machine.call_later(0.1, done.append, "timer")
    machine.pause()
    machine.run_here(done.append, "waiting")
    machine.kill()
    machine.resume()
    machine.run_here(done.append, "arrival")
    loop.run_for(1.0)
    assert done == []


def test_a_fast_clock_shows_more_time_and_its_timers_come_early(loop: VirtualLoop) -> None:
    machine = Machine(loop, rate=1.25, uptime_s=100.0)
    fired: list[float] = []
    machine.call_later(1.0, lambda: fired.append(loop.time()))
    loop.run_for(4.0)
    assert fired == [pytest.approx(0.8)]
    assert machine.time() == pytest.approx(105.0)


def test_a_step_of_the_wall_clock_does_not_touch_the_monotonic_one(loop: VirtualLoop, machine: Machine) -> None:
    loop.run_for(1.0)
    before = machine.wall_time()
    machine.wall_step_s -= 3600.0
    assert (machine.wall_time() - before, machine.time()) == (pytest.approx(-3600.0), 1.0)


def test_an_instant_that_does_not_end_is_an_error_and_not_a_hang(loop: VirtualLoop) -> None:
    def again() -> None:
        loop.call_soon(again)

    again()
    with pytest.raises(EndlessInstant):
        loop.run_for(1.0)
