"""The names for threads and those for an event loop are the same, with the same parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import logstream
from logstream import aio
from logstream.protocol.errors import LogStreamError

CLASSES = ("Producer", "Consumer", "Admin", "Handle", "BulkHandle")
ONLY_ON_A_LOOP = {"Producer": {"start", "drain"}, "Consumer": {"start"}, "Admin": {"start"}}

each_class = pytest.mark.parametrize("name", CLASSES)


def methods(kind: type) -> dict[str, Callable[..., Any]]:
    """Public functions of a class."""
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: function for name, function in found if not name.startswith("_")}


def parameters(function: Callable[..., Any]) -> list[tuple[str, object, object]]:
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()]


@each_class
def test_both_have_the_same_methods(name: str) -> None:
    threads, loop = methods(getattr(logstream, name)), methods(getattr(aio, name))
    assert set(loop) - set(threads) == ONLY_ON_A_LOOP.get(name, set())
    assert set(threads) <= set(loop)


@each_class
def test_both_take_the_same_arguments(name: str) -> None:
    threads, loop = getattr(logstream, name), getattr(aio, name)
    assert parameters(threads.__init__) == parameters(loop.__init__)
    different = [
        method
        for method, function in methods(threads).items()
        if parameters(function) != parameters(methods(loop)[method])
    ]
    assert different == []


def test_every_name_can_be_imported() -> None:
    assert [name for name in logstream.__all__ if not hasattr(logstream, name)] == []
    assert [name for name in aio.__all__ if not hasattr(aio, name)] == []
    assert set(aio.__all__) < set(logstream.__all__)
    assert (aio.Record, aio.Placed) == (logstream.Record, logstream.Placed)
    with pytest.raises(AttributeError):
        aio.Konsumer  # type: ignore[attr-defined]  # noqa: B018


def kinds_of_errors(kind: type[LogStreamError] = LogStreamError) -> set[type[LogStreamError]]:
    return {kind}.union(*(kinds_of_errors(one) for one in kind.__subclasses__()))


def test_every_error_is_public() -> None:
    assert {kind.__name__ for kind in kinds_of_errors()} <= set(logstream.__all__)


def test_every_kind_of_error_ends_with_what_to_do() -> None:
    """But for the base, and what names a mistake in a request and with it the remedy."""
    silent = {kind.__name__ for kind in kinds_of_errors() if not kind.advice}
    assert silent == {"LogStreamError", "InvalidRequest"}


def test_the_advice_of_an_error_can_be_replaced() -> None:
    assert str(logstream.UnknownTopic("it was deleted", "make a new consumer")) == "it was deleted; make a new consumer"
    assert logstream.UnknownTopic("it was deleted").text == "it was deleted"
