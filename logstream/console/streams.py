"""The three standard streams, as they are found: closed, broken, full, or in an encoding of long ago.

A command need not know: `prepare` makes them fit to write to, `let_go` ends them without a complaint.
"""

from __future__ import annotations

import os
import signal
import sys
from threading import current_thread, main_thread
from typing import TextIO


def prepare() -> None:
    """Give every command three streams, let no character be impossible to print, and let SIGTERM be a Ctrl-C."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # closed by whoever started us, as in `logstream status >&-`
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if current_thread() is main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def let_go() -> None:
    """The reader is gone, or the disk is full: nothing more to write, and no complaint when Python flushes at exit."""
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def width() -> int | None:
    """Columns of the terminal that stdout is; None: it is no terminal, so lines may be as long as they like."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns
