"""`python -m logstream` and the console script: finds the program and runs it.

The one import against the import order: a library that starts the program it is part of.
"""

from __future__ import annotations

import sys

from logstream._start import program_folder


def main() -> int:
    """Run the command line with sys.argv; returns the exit code."""
    sys.path.insert(0, str(program_folder()))
    import logstream_cli

    return logstream_cli.main()


if __name__ == "__main__":
    sys.exit(main())
