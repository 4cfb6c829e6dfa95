"""`config show` and `config check`: which settings a command in this place would have, and from where.

What `show` prints is a settings file itself: the origin stands behind each value as a comment, so
`logstream config show > my.ini` writes down what holds now.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from logstream.console.cluster import say
from logstream.settings import Settings
from logstream.settings.models import SECTIONS
from logstream.settings.sources import from_file

COMMENT_COLUMN = 34


def show(settings: Settings, as_json: bool) -> int:
    """Print every setting with its origin."""
    print(json.dumps(as_object(settings), indent=2) if as_json else as_file(settings))
    return 0


def as_object(settings: Settings) -> dict[str, Any]:
    """By section and key: the value, and in words where it came from. And the state folder."""
    sections: dict[str, Any] = {
        section: {
            key: {"value": value, "origin": settings.origin(section, key)}
            for key, value in _values(settings, section).items()
        }
        for section in SECTIONS
    }
    return sections | {"state_folder": {"value": str(settings.state_folder), "origin": _origin_of_folder()}}


def as_file(settings: Settings) -> str:
    """As a settings file."""
    lines = [f"; state folder: {settings.state_folder} ({_origin_of_folder()})"]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        for key, value in _values(settings, section).items():
            comment = settings.origin(section, key) + _remark(settings, key)
            lines.append(f"{f'{key} = {_written(value)}'.ljust(COMMENT_COLUMN)} ; {comment}")
    return "\n".join(lines)


def check(settings: Settings, file: Path | None) -> int:
    """Say that everything is in order, and what of the file does not count here. Errors came up when it was read."""
    if file is not None:
        for (section, key), found in from_file(file).items():
            origin = settings.origin(section, key)
            if origin != found.origin:
                say(f"{found.origin}: [{section}] {key} does not count here, {origin} is stronger")
    said = len(settings.origins)
    print(f"{file or 'settings'}: in order; {said} set{', the others are defaults' if said else ', all are defaults'}")
    return 0


def _values(settings: Settings, section: str) -> dict[str, Any]:
    model: Any = {"cluster": settings.shared, "node": settings.node, "client": settings.client}[section]
    return {key: getattr(model, field) for key, field in model.fields_by_key().items()}


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _remark(settings: Settings, key: str) -> str:
    """What a 0 comes to."""
    if key == "lease_s" and not settings.shared.lease_s:
        return f", comes to {settings.shared.effective_lease_s:.2f}"
    if key == "memory_max" and settings.origin("node", key) == "default":
        return ", a quarter of the memory"
    return ""


def _origin_of_folder() -> str:
    return "environment LOGSTREAM_HOME" if os.environ.get("LOGSTREAM_HOME") else "default"
