"""Plain tables: columns as wide as their content, two spaces apart, readable in any terminal and any pipe."""

from __future__ import annotations

from collections.abc import Sequence


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The rows under their heading; numbers stand to the right."""
    cells = [[str(cell) for cell in row] for row in [heading, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heading))]
    right = [bool(rows) and all(isinstance(row[column], int) for row in rows) for column in range(len(heading))]
    return "\n".join(_line(row, widths, right) for row in cells)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    aligned = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(row, widths, right, strict=True)
    ]
    return "  ".join(aligned).rstrip()


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """One fact a line, the values below one another."""
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in pairs)
