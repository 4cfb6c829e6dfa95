"""How commands reach a cluster: the settings that matter to the client library, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from logstream.settings import Settings

if TYPE_CHECKING:
    from logstream.client import Admin


def bootstrap_of(settings: Settings) -> Sequence[str] | None:
    """The brokers to ask first; None: look for the cluster."""
    addresses = [address.strip() for address in settings.client.bootstrap.split(",") if address.strip()]
    return addresses or None


def admin(settings: Settings) -> Admin:
    """An Admin for the cluster that the settings name. Raises NoClusterFound."""
    from logstream.client import Admin

    return Admin(bootstrap=bootstrap_of(settings), cluster=settings.shared.cluster)
