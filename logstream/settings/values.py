"""How people write sizes and addresses, and how much memory this machine gives.

Sizes take the suffixes of `ls -h`, with or without "iB": 64k, 16MiB, 1.5g. They are always powers of 1024.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path

DEFAULT_PORT = 8001

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_FACTOR = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_CGROUP_LIMIT_MAX = 1 << 60  # cgroup v1 says "no limit" by a number above it


def read_size(value: object) -> object:
    """Bytes of a size like "16MiB"; anything but text is left to pydantic. Raises ValueError."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError("a size is a number with k, M or G behind it, like 16MiB")
    number, suffix = match.groups()
    return int(float(number) * _FACTOR[suffix.lower()])


def read_address(value: object) -> object:
    """ "host:port" with a numeric host; the port may be left out. "" stays "". Raises ValueError."""
    if not isinstance(value, str) or not value.strip():
        return value
    host, colon, port = value.strip().partition(":")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError("an address is IP:PORT with an IPv4 address, like 127.0.0.1:8001") from None
    number = port if colon else str(DEFAULT_PORT)
    if not (number.isascii() and number.isdecimal()) or not 1 <= int(number) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return f"{host}:{int(number)}"


def read_group(value: str) -> str:
    """A multicast group address. Raises ValueError."""
    try:
        multicast = ipaddress.IPv4Address(value).is_multicast
    except ValueError:
        multicast = False
    if not multicast:
        raise ValueError("a multicast group is an IPv4 address from 224.0.0.0 to 239.255.255.255")
    return value


def read_name(value: str) -> str:
    """A name that is safe in a file name and a log line. Raises ValueError."""
    if _NAME.fullmatch(value) is None:
        raise ValueError(
            "a name has 1 to 100 letters, digits, dots, hyphens or underscores and starts with one of the first two"
        )
    return value


def memory_of_this_machine() -> int:
    """Bytes of RAM that this process may use: the machine's, or the control group's limit if that is lower."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([memory, *_cgroup_limits()])


def _cgroup_limits() -> list[int]:
    limits = []
    for path in map(Path, _CGROUP_LIMITS):
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < _CGROUP_LIMIT_MAX:
            limits.append(int(text))
    return limits
