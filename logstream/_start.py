"""Where the program is: the folder that holds logstream_cli.py and the packages beside it.

In a checkout that is the folder above this library; in an installed wheel it is `logstream/_program`,
because packages with names as general as `actors` must not lie in anybody's site-packages.
"""

from __future__ import annotations

from pathlib import Path


def program_folder() -> Path:
    """The folder to put first on sys.path, and to start child processes from."""
    here = Path(__file__).resolve().parent
    installed = here / "_program"
    return installed if installed.is_dir() else here.parent


def program_file() -> Path:
    """logstream_cli.py, to be run by path: `python -m` would depend on the child's working folder."""
    return program_folder() / "logstream_cli.py"
