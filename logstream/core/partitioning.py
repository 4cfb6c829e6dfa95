"""Which partition a key belongs to: murmur2, exactly as Kafka's default partitioner has it.

Producers in other languages that write to a topic through a bridge, and tools that look for a key, get
the same answer. Records without a key do not come here: they stick to one partition for a batch
(see producer.py).
"""

from __future__ import annotations

from functools import lru_cache

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash of Kafka's Utils.murmur2, as an unsigned number."""
    whole = len(data) & ~3
    value = _SEED ^ len(data)
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _MIX & _MASK
        word = (word ^ (word >> 24)) * _MIX & _MASK
        value = (value * _MIX & _MASK) ^ word
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MIX & _MASK
    value = (value ^ (value >> 13)) * _MIX & _MASK
    return value ^ (value >> 15)


@lru_cache(maxsize=16_384)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key. Kafka drops the sign bit before it takes the remainder."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
