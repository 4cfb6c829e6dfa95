"""Arguments: what a program gives to `send`, as the core takes it, or refused where the program called.

Later, on the producer's thread, nobody could say any more which call it was. Producers look at the types themselves and
come here for unusual ones only, so that the usual ones cost no call.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable

from logstream.core.client_events import Headers


def check_topic(topic: object) -> None:
    """Raises TypeError for what is not text."""
    if not isinstance(topic, str):
        raise TypeError(f"the topic is a str, not {type(topic).__name__}")


def as_topics(topics: object) -> tuple[str, ...]:
    """One name or several. Raises TypeError for anything else."""
    if isinstance(topics, str):
        return (topics,)
    if not isinstance(topics, Iterable) or isinstance(topics, bytes):
        raise TypeError(f"topics are a str or several, not {type(topics).__name__}")
    names = tuple(topics)
    for name in names:
        check_topic(name)
    return names


def as_bytes(given: object, name: str) -> bytes:
    """Raises TypeError for anything except bytes, bytearray and memoryview."""
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    raise TypeError(f"the {name} of a record is bytes, not {type(given).__name__}: encode it first")


def as_headers(headers: object) -> Headers:
    """Raises TypeError for anything except pairs of text and bytes."""
    if not isinstance(headers, Iterable):
        raise TypeError(f"headers are (str, bytes) pairs in a list, not {type(headers).__name__}")
    if type(headers) is not list and type(headers) is not tuple:
        return [_as_header(header) for header in headers]
    for header in headers:
        if type(header) is not tuple or len(header) != 2 or type(header[0]) is not str or type(header[1]) is not bytes:
            return [_as_header(header) for header in headers]
    return headers


def _as_header(header: object) -> tuple[str, bytes]:
    match header:
        case str(name), (bytes() | bytearray() | memoryview()) as value:
            return name, bytes(value)
    raise TypeError(f"a header is a (str, bytes) pair, not {header!r:.80}")


def as_partition(partition: object) -> int:
    """Raises TypeError for what is no whole number."""
    try:
        return operator.index(partition)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"the partition is an int or None, not {type(partition).__name__}") from None


def as_common(
    topic: object, key: object, headers: object, partition: object
) -> tuple[bytes | None, Headers, int | None]:
    """Key, headers and partition of a send_many, which are looked at once. Raises TypeError."""
    check_topic(topic)
    return (
        None if key is None else as_bytes(key, "key"),
        as_headers(headers),
        None if partition is None else as_partition(partition),
    )
