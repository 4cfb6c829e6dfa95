"""Whether this thread is inside an actor's turn: there, waiting for another actor would never end."""

from __future__ import annotations

import threading


class _Thread(threading.local):
    in_a_turn = False  # is an actor of this thread's loop handling a message right now?


this_thread = _Thread()
