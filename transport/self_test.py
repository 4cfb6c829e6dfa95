"""Do broadcast and multicast work on this interface? Tried live, with the sockets that a node would open.

    sender socket --> everybody, or the group --> listening socket on the node's own port: heard?

What is sent comes back to the machine that sent it, through the same firewall rules as what others
send. So silence here is a rule, or an interface that cannot do it; whether the network beyond lets it
through only another machine can tell (`neighbours.py`). A node that runs here hears the datagram too;
it bears the name of no cluster, so that it is dropped unread.
"""

from __future__ import annotations

import secrets
import select
import socket
import time

from logstream.protocol.fragments import Fragmenter
from transport import udp_broadcast, udp_multicast
from transport.udp_broadcast import BroadcastSettings
from transport.udp_multicast import MulticastSettings

TRIES = 3
WAIT_S = 0.1  # after each
_DATAGRAM_MAX = 1_024
Target = tuple[str, int]


def broadcast_problem(settings: BroadcastSettings) -> str:
    """Send a broadcast to ourselves; "" if it is heard, else why it is not."""
    try:
        sockets = udp_broadcast.open_sockets(settings)
    except OSError as error:
        return f"cannot listen on {settings.broadcast}:{settings.port}: {error.strerror or error}"
    with sockets.sender, sockets.listener:
        return _silence(sockets.sender, sockets.listener, (settings.broadcast, settings.port))


def multicast_problem(settings: MulticastSettings) -> str:
    """Send to the group and hear it ourselves; "" if it is heard, else why it is not."""
    sockets = udp_multicast.open_sockets(settings)
    if sockets.sender is None or sockets.receiver is None:
        return sockets.problem
    with sockets.sender, sockets.receiver:
        return _silence(sockets.sender, sockets.receiver, (settings.group, settings.port))


def _silence(sender: socket.socket, listener: socket.socket, target: Target) -> str:
    """Why nothing was heard, "" if it was."""
    (datagram,) = Fragmenter("", secrets.randbits(32), _DATAGRAM_MAX).split([secrets.token_bytes(16)])
    for _ in range(TRIES):
        try:
            sender.sendto(datagram, target)
        except OSError as error:
            return f"cannot send to {target[0]}:{target[1]}: {error.strerror or error}"
        if _hears(listener, datagram):
            return ""
    return f"what is sent to UDP {target[0]}:{target[1]} is not heard here, does a firewall drop it?"


def _hears(listener: socket.socket, wanted: bytes) -> bool:
    """Is it among what comes in time?"""
    end = time.monotonic() + WAIT_S
    while select.select([listener], [], [], max(0.0, end - time.monotonic()))[0]:
        if listener.recv(65_535) == wanted:
            return True
    return False
