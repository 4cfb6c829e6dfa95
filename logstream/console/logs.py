"""`logs`: what a managed node has written, byte for byte, and with --follow what it goes on to write.

The file is looked at again and again, because a file tells nobody that it has grown. A node that is
started again goes on in the same file.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import IO

from logstream.console.failure import Failure
from logstream.settings import Settings
from logstream.state import log_path

LOOK_AGAIN_S = 0.1
AT_ONCE = 1 << 16  # bytes


def show_log(settings: Settings, name: str, follow: bool) -> int:
    """Copy the log to stdout; with `follow` until Ctrl-C. Raises Failure if there is none."""
    path = log_path(settings.state_folder, settings.shared.cluster, name)
    if not path.is_file():
        raise Failure(f"{path}: there is no log of node {name}: {_others(path.parent)}")
    with path.open("rb") as log:
        _copy(log)
        try:
            while follow:
                time.sleep(LOOK_AGAIN_S)
                _copy(log)
        except KeyboardInterrupt:
            return 0
    return 0


def _copy(log: IO[bytes]) -> None:
    """What is there from the present place on. A file that was cut is read from its beginning."""
    out = sys.stdout.buffer
    if Path(log.name).stat().st_size < log.tell():
        log.seek(0)
    while data := log.read(AT_ONCE):
        out.write(data)
    out.flush()


def _others(folder: Path) -> str:
    names = ", ".join(sorted(path.stem for path in folder.glob("*.log")))
    return f"there are logs of {names}" if names else "only nodes that run in the background have one"
