"""Telling the service manager how this process is doing, as systemd's sd_notify does.

systemd names a datagram socket in $NOTIFY_SOCKET to the services that it starts with Type=notify and
waits there for READY=1. Where the variable is not set nobody wants to know.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from loguru import logger


def tell_service_manager(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send one state, like READY=1. A manager that does not listen is logged and changes nothing."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as telling:
        try:
            telling.sendto(state.encode(), address)
        except OSError as error:
            logger.bind(actor="service_manager", why=str(error)).warning("cannot tell the service manager")
