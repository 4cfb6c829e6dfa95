"""Moments as people write them: so long ago, or a date and a time of day."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_AGO = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.IGNORECASE | re.ASCII)


def moment(text: str) -> datetime | timedelta:
    """10m, 1h30m, 7d: so long ago. 2026-11-23T10:00: that time, local unless a zone (Z, +01:00) follows.

    Raises ValueError for anything else.
    """
    ago = _AGO.fullmatch(text)
    if ago is None:
        return datetime.fromisoformat(text)
    days, hours, minutes, seconds = (int(number or 0) for number in ago.groups())
    try:
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise ValueError(f"{text} is longer than there are calendars") from None
