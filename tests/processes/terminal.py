"""A terminal for tests: a command runs on a pty of a chosen width, and what it writes is read as a person sees it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

DEADLINE_S = 30.0
SIZE = ("COLUMNS", "LINES")  # would count more than what the terminal itself says


class Terminal:
    """One command at the keyboard's end of a pty; stdin, stdout and stderr are all the terminal."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], columns: int = 80) -> None:
        self._keyboard, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            env={**{name: value for name, value in environment.items() if name not in SIZE}, "TERM": "xterm"},
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(screen)
        self.text = ""

    def type(self, keys: str) -> None:
        """As a person does: \\x03 is Ctrl-C, \\x04 is Ctrl-D."""
        os.write(self._keyboard, keys.encode())

    def wait_for(self, words: str) -> None:
        """Read until these words are on the screen."""
        end = time.monotonic() + DEADLINE_S
        while words not in self.text:
            assert time.monotonic() < end, f"{words!r} did not appear in {self.text!r}"
            assert self._read(end - time.monotonic()), f"it ended without {words!r}: {self.text!r}"

    def ended(self) -> int:
        """Read until the command ends; returns its exit code."""
        end = time.monotonic() + DEADLINE_S
        while self._read(max(end - time.monotonic(), 0.0)):
            assert time.monotonic() < end, f"it did not end: {self.text!r}"
        return self.process.wait(DEADLINE_S)

    def _read(self, timeout_s: float) -> bool:
        """False at the end: nobody has the terminal open any more."""
        ready, _, _ = select.select([self._keyboard], [], [], timeout_s)
        data = b""
        if ready:
            with contextlib.suppress(OSError):
                data = os.read(self._keyboard, 65536)
            if not data:
                return False
        self.text += data.decode(errors="replace").replace("\r\n", "\n")
        return True

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._keyboard)
