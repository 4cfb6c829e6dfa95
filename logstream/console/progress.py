"""A progress bar on a terminal, and nothing at all in a pipe: rich is not even imported there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int], None]  # told how many more bytes are done


@contextmanager
def progress(total: int | None) -> Iterator[Progress]:
    """While this lasts, bytes that are done show on stderr. `total` is in bytes; None: nobody knows."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = [BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda size: bar.advance(task, size)


def _silent(_size: int) -> None:
    """Nobody looks."""
