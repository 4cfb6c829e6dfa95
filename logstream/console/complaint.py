"""Complaint: any exception as the one line that a person reads, and as an exit code.

    2   usage or configuration: repeat it otherwise
    1   everything else, and our own bugs, which are named as such

It is imported when something has gone wrong, so that all else starts without it.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

PROGRAM = "logstream"


def explained(error: Exception) -> tuple[str, int]:
    """The line and the exit code of an error."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
        return "no command given", 2
    if hasattr(error, "format_message"):
        return _usage(error), 2
    from logstream.console.failure import Failure
    from logstream.local import LocalClusterError
    from logstream.protocol.errors import LogStreamError
    from logstream.settings import SettingsError

    match error:
        case Failure():
            return str(error), error.exit_code
        case SettingsError():
            return str(error), 2
        case LogStreamError() | LocalClusterError():
            return " ".join(str(error).split()), 1
        case OSError():
            return _of_system(error), 1
        case _:
            return _unforeseen(error), 1


def _of_system(error: OSError) -> str:
    if error.filename:
        return f"{error.filename}: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return f"cannot write the output: {error.strerror}"
    return error.strerror or str(error)


def _unforeseen(error: Exception) -> str:
    """A bug of ours, in one line that is worth reporting."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f"{Path(at.tb_frame.f_code.co_filename).name} line {at.tb_lineno}" if at else "unknown"
    return f"internal error, please report it: {type(error).__name__}: {' '.join(str(error).split())} at {where}"


def _usage(error: Any) -> str:
    """A usage error of typer in one line, with the nearest known option and where to read more."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context else PROGRAM
    option = getattr(error, "option_name", None)
    if option and type(error).__name__ == "NoSuchOption":
        near = sorted(error.possibilities or ())
        said = f"unknown option {option}" + (f", did you mean {' or '.join(near)}?" if near else ",")
    else:
        said = " ".join(error.format_message().split())
        said = said[:1].lower() + said[1:].rstrip(".") + ("" if said.endswith("?") else ",")
    return f"{said} see {where} --help"
