"""Brokers to talk to, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.fake_broker import FakeBrokers


@pytest.fixture
def brokers() -> Iterator[FakeBrokers]:
    """Two fake brokers on loopback; topics have one partition."""
    found = FakeBrokers(2)
    yield found
    found.stop()
