"""Conversation: a person at a terminal types lines, and sees of each where it went.

    greetings> hello          the prompt is on stderr, as everything that is not data
    greetings[0] offset 7     acknowledged: every member has it
    greetings> ^D             the end

The terminal edits the line; what it gives us on Enter are bytes, and they stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO

from logstream.console.sending import Piece, Sending


class Typed:
    """The keyboard: every read asks for a line."""

    def __init__(self, keyboard: IO[bytes], topic: str) -> None:
        self._keyboard = keyboard
        self._prompt = f"{topic}> "

    def read(self, size: int, /) -> bytes | None:
        """One line, or b"" at the end (Ctrl-D)."""
        print(self._prompt, end="", file=sys.stderr, flush=True)
        line: bytes | None = b""
        try:
            line = self._keyboard.read(size)
        finally:
            if not line:
                print(file=sys.stderr)
        return line


def converse(sending: Sending, pieces: Iterable[Piece]) -> None:
    """Send line by line, each when the one before is acknowledged, until the first that is not."""
    sending.send_all(_one_by_one(sending, pieces))


def _one_by_one(sending: Sending, pieces: Iterable[Piece]) -> Iterable[Piece]:
    for piece in pieces:
        yield piece
        sending.finish()
        if sending.error is not None:
            return
        if sending.newest is not None:
            placed = sending.newest
            offset = placed.offset + placed.records - 1
            print(f"{sending.topic}[{placed.partition}] offset {offset}", file=sys.stderr, flush=True)
