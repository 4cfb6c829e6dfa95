"""Plain tables: columns as wide as their content, two spaces apart, readable in any terminal and any pipe.

NODE  ROLE                  NODE  n1
n1    leader                ROLE  leader
n2    follower
                            NODE  n2
                            ROLE  follower
where there is room         where the terminal is too narrow for that
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

NARROWEST = 10  # columns that a value has in any case


def table(heading: Sequence[str], rows: Sequence[Sequence[object]], width: int | None = None) -> str:
    """The rows under their heading; numbers stand to the right. `width`: columns that there are, None: any number."""
    cells = [[str(cell) for cell in row] for row in [heading, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heading))]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        return "\n\n".join(facts(list(zip(heading, row, strict=True)), width) for row in rows)
    right = [bool(rows) and all(isinstance(row[column], int) for row in rows) for column in range(len(heading))]
    return "\n".join(_line(row, widths, right) for row in cells)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    aligned = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(row, widths, right, strict=True)
    ]
    return "  ".join(aligned).rstrip()


def facts(pairs: Sequence[tuple[str, object]], width: int | None = None) -> str:
    """One fact a line, the values below one another; long ones are broken where there are only `width` columns."""
    names = max((len(name) for name, _ in pairs), default=0)
    room = None if width is None else max(width - names - 2, NARROWEST)
    return "\n".join(_fact(name.ljust(names), str(value), room) for name, value in pairs)


def _fact(name: str, value: str, room: int | None) -> str:
    lines = [value] if room is None else wrap(value, room) or [""]
    return "\n".join(f"{name if not number else ' ' * len(name)}  {line}".rstrip() for number, line in enumerate(lines))
