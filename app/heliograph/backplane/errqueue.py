"""Errors that a connection kept from the time before it was made.

Where a Service has no pod this moment, the cluster answers a connection attempt with an ICMP
error. Linux puts that into the socket's error queue, and when it comes before ``connect`` has
returned, the attempt goes on: a second later there may be a pod, and the connection is made, with
the error still in its queue. From then on the socket counts as faulty whenever an event loop asks;
the loop finds nothing to read, asks again, and keeps a core busy for as long as the connection
lives. Reading the queue ends that (``recvmsg(2)``, ``MSG_ERRQUEUE``).

Limits: Linux only; elsewhere there is no such queue, and nothing is done.
"""

from __future__ import annotations

import asyncio
import os
import socket

_MOST = 16


def forget_errors(transport: asyncio.BaseTransport) -> int:
    """Empty the error queue of a connection that was just made; how many errors it held."""
    known = transport.get_extra_info("socket")
    flag = getattr(socket, "MSG_ERRQUEUE", None)
    if known is None or flag is None:
        return 0
    # uvloop gives something that is not quite a socket.
    with socket.socket(known.family, known.type, fileno=os.dup(known.fileno())) as same:
        same.setblocking(False)  # as it is
        for count in range(_MOST):
            try:
                same.recvmsg(1, 512, flag)
            except BlockingIOError:
                return count
    return _MOST
