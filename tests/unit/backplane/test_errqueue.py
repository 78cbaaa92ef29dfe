"""Errors in a socket's queue are read before anybody is kept busy by them."""

from __future__ import annotations

import asyncio
import select
import socket
import sys

import pytest

from heliograph.backplane.errqueue import forget_errors
from tests.support.bare import until
from tests.support.processes import free_port

IP_RECVERR = 11  # linux/in.h; Python has no name for it


class Known(asyncio.BaseTransport):
    """A transport of this socket."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"socket": sock})


def faulty(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


@pytest.mark.skipif(sys.platform != "linux", reason="the queue is Linux's")
async def test_a_socket_with_an_error_in_its_queue_is_as_good_as_new() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.setblocking(False)
        sock.connect(("127.0.0.1", free_port()))
        sock.send(b"nobody is there")  # answered with an ICMP error
        await until(lambda: faulty(sock))
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        assert faulty(sock), "what a loop does about it does not help"
        assert forget_errors(Known(sock)) == 1
        assert not faulty(sock)
        assert forget_errors(Known(sock)) == 0
        assert sock.fileno() > 0, "it is still open"


def test_a_transport_without_a_socket_has_no_errors() -> None:
    assert forget_errors(asyncio.BaseTransport({})) == 0
