"""Ctrl-C while records are under way: an exception only where nothing can be lost by it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from logstream.console.interruption import Interruption


class Pressed:
    """An Interruption that is told of real signals."""

    def __init__(self) -> None:
        self.abandoned = threading.Event()
        self.under_way = 0
        self.interruption = Interruption(lambda: self.under_way, self.abandoned.set)

    def press(self, number: signal.Signals = signal.SIGINT) -> None:
        os.kill(os.getpid(), number)


@pytest.fixture
def pressed() -> Iterator[Pressed]:
    pressed = Pressed()
    with pressed.interruption:
        yield pressed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_reading_is_interrupted_at_once(pressed: Pressed, number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), pressed.interruption.may_interrupt():
        pressed.press(number)
        pytest.fail("it went on")


def test_between_reads_it_is_remembered_until_the_next_one(pressed: Pressed) -> None:
    pressed.press()
    assert pressed.interruption.times == 1
    with pytest.raises(KeyboardInterrupt), pressed.interruption.may_interrupt():
        pytest.fail("it read on")


def test_the_first_one_says_what_it_waits_for(pressed: Pressed, capfd: pytest.CaptureFixture[str]) -> None:
    pressed.under_way = 7
    pressed.press()
    text = "logstream: stopping, waiting for 7 records under way (Ctrl-C again: do not wait)\n"
    assert capfd.readouterr().err == text
    assert not pressed.abandoned.is_set()


def test_the_second_one_gives_up_what_is_under_way(pressed: Pressed) -> None:
    pressed.press()
    pressed.press()
    assert pressed.abandoned.wait(10)


def test_afterwards_ctrl_c_is_what_it_was_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Pressed().interruption:
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
