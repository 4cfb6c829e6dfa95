"""Handles of a producer on an event loop: to be awaited, because nobody may wait there in any other way."""

from __future__ import annotations

import asyncio

from logstream.client import handles


class _OnLoop(handles.Waitable):
    """Knows its outcome or does not."""

    __slots__ = ()

    def _wait(self, timeout: float | None) -> None:
        """Raises InvalidStateError until done: to wait here would stop the loop that is to bring the outcome."""
        if not self.done():
            raise asyncio.InvalidStateError("not acknowledged yet: await the handle, or look at done() first")

    def _end_program(self, error: BaseException) -> None:
        """It ends the loop, as when any other callback raises it, but later: the other handles need an outcome."""
        loop = asyncio._get_running_loop()
        if loop is None:
            raise error
        loop.call_soon(_raise, error)


class Handle(_OnLoop, handles.Handle):
    """One record on its way. `await handle` gives its offset, and so does `result` once it is known."""

    __slots__ = ()


class BulkHandle(_OnLoop, handles.BulkHandle):
    """Many records on their way. `await handle` says where they are, and so does `result` once it is known."""

    __slots__ = ()


def _raise(error: BaseException) -> None:
    raise error
