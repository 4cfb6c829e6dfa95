"""TimeIndex: which is the first batch of a partition that has a record of some time or later?

Producers stamp records by clocks of their own, so time stamps need not ascend, and a bisection would go
astray. Of every batch its newest time stamp is kept, and of every block of batches the newest of those: a
search looks at the blocks, then into one of them.

    blocks    [            70            ][           90           ] ...
    newest    50  70  60  (trimmed at the front)  80  90  85  ...

What is trimmed leaves its block's newest stamp standing until the block is gone: a search may look into
one block in vain, never pass over a batch.
"""

from __future__ import annotations

from array import array

BLOCK = 1024  # batches


class TimeIndex:
    """The newest time stamp, in ms since 1970, of every batch that a partition holds."""

    def __init__(self) -> None:
        self._newest = array("q")
        self._blocks = array("q")
        self._gone = 0  # batches of the first block that are trimmed

    def append(self, newest_ms: int) -> None:
        """The next batch."""
        if (self._gone + len(self._newest)) % BLOCK == 0:
            self._blocks.append(newest_ms)
        elif newest_ms > self._blocks[-1]:
            self._blocks[-1] = newest_ms
        self._newest.append(newest_ms)

    def trim(self, batches: int) -> None:
        """So many are gone at the front."""
        del self._newest[:batches]
        blocks, self._gone = divmod(self._gone + batches, BLOCK)
        del self._blocks[:blocks]

    def first_since(self, timestamp_ms: int) -> int | None:
        """The place of the first batch with a record of this time or later; None if there is none."""
        for block, newest_ms in enumerate(self._blocks):
            if newest_ms < timestamp_ms:
                continue
            start = block * BLOCK - self._gone
            for place in range(max(start, 0), min(start + BLOCK, len(self._newest))):
                if self._newest[place] >= timestamp_ms:
                    return place
        return None
