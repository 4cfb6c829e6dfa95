"""How a command says that it cannot go on: one sentence and an exit code, never a traceback."""

from __future__ import annotations

FAILED = 1
USAGE = 2


class Failure(Exception):
    """Ends the command. The text is what follows "logstream: " on stderr: what, where, what to do."""

    def __init__(self, text: str, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code
