"""What a topic may be named; brokers and clients go by it."""

from __future__ import annotations

import re

NAME_MAX = 249
_NAME = re.compile(r"[a-zA-Z0-9._-]+")


def fault_in_name(name: str) -> str | None:
    """Why this cannot be a topic's name, if so: the rules are Kafka's."""
    if not name:
        return "a topic name cannot be empty"
    if len(name) > NAME_MAX:
        return f"a topic name has at most {NAME_MAX} characters, this one has {len(name)}"
    if name in (".", ".."):
        return f"a topic cannot be named {name!r}"
    if not _NAME.fullmatch(name):
        return f"topic name {name!r} has characters other than letters, digits, '.', '_' and '-'"
    return None
