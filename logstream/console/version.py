"""`version`: what this is, which protocol it speaks, and on what it runs."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version

from logstream.protocol.envelope import PROTOCOL_VERSION


def show_version(as_json: bool) -> int:
    """Print version, protocol version and Python's version."""
    facts = {"version": installed_version(), "protocol": PROTOCOL_VERSION, "python": platform.python_version()}
    if as_json:
        print(json.dumps(facts))
    else:
        print(f"logstream {facts['version']}, protocol {facts['protocol']}, Python {facts['python']}")
    return 0


def installed_version() -> str:
    """The version of the installed package, or that it runs from a checkout."""
    try:
        return version("logstream")
    except PackageNotFoundError:
        return "from a checkout"
