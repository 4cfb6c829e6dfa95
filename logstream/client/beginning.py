"""Beginning: where a consumer starts, as a program says it and as the core takes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from logstream.core.reading import Since, Start

Beginning = Literal["start", "end"] | int | datetime | timedelta

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def beginning(said: Beginning, now: datetime) -> Start:
    """The start of the log, its end, an offset, a time, or so long before `now`.

    A time without a zone is local time. Raises ValueError for anything else.
    """
    if isinstance(said, str) and said in ("start", "end"):
        return said
    if isinstance(said, int) and not isinstance(said, bool):
        return said
    if isinstance(said, datetime):
        return _since(said)
    if isinstance(said, timedelta) and said >= timedelta(0):
        return _since(now - said if now - _1970 > said else _1970)
    raise ValueError(
        f'start={said!r}: a consumer starts at "start", "end", an offset, a datetime, or a timedelta before now'
    )


def _since(moment: datetime) -> Since:
    """Time stamps are whole milliseconds: the first one that is not before the moment."""
    try:
        return Since(-((_1970 - moment.astimezone(UTC)) // _MILLISECOND))
    except (OverflowError, ValueError, OSError) as error:
        raise ValueError(f"start={moment!r} is no time that this machine knows: {error}") from None
