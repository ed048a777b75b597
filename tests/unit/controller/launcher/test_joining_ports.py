"""Connections to ports of a run, made from inside it: whom they reach, whom they do not, and their end."""

import socket

import pytest

from controller.launcher.connect_deed import CannotConnect, connected
from controller.launcher.join_request import Deed
from controller.launcher.joined import JoinRefused
from support.joining import Held, read_all, write_all
from support.launching import WAIT_SECONDS, readable

needs_root = pytest.mark.needs_root

ECHO = """
use strict; use IO::Socket::IP;
my $s = IO::Socket::IP->new(LocalHost => $ARGV[0], LocalPort => $ARGV[1], Listen => 5, ReuseAddr => 1) or die "$@";
while (my $c = $s->accept) { print $c "hello\\n"; while (sysread($c, my $b, 4096)) { syswrite($c, "<$b>") } close $c }
"""


def serving(launching, address="127.0.0.1", port=8000):
    held = Held(launching, "perl", "-e", ECHO, address, str(port))
    wait = "until grep -q ' 0A ' /proc/net/tcp /proc/net/tcp6; do :; done"
    assert held.output("sh", "-c", wait) == (0, "")
    return held


def connection_to(held, port):
    with held.join(str(port), deed=Deed.CONNECT, streams=()) as session:
        return session.take_connection()


@needs_root
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_it_reaches_what_listens_in_the_run_by_either_address(launching, address):
    held = serving(launching, address)

    with connection_to(held, 8000) as connection:
        write_all(connection.fileno(), b"ping")
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection.fileno()) == b"hello\n<ping>"
    held.end()


@needs_root
@pytest.mark.invariant("X43")
def test_it_does_not_reach_the_host(launching):
    held = Held(launching)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(JoinRefused, match=f"port {port} of the run: 127.0.0.1: Connection refused") as refused:
            connection_to(held, port)
    assert refused.value.answer.exit_code == 1
    held.end()


@needs_root
@pytest.mark.invariant("X43")
def test_it_ends_with_the_run_and_leaves_no_process_in_it(launching):
    held = serving(launching)

    with connection_to(held, 8000) as connection:
        _, processes = held.output("sh", "-c", "ls -d /proc/[0-9]* | wc -l")
        held.end()
        assert readable(connection, WAIT_SECONDS)
        assert read_all(connection.fileno()) == b"hello\n"
    assert int(processes) <= 5  # The run's own two, and those who count.


@needs_root
def test_what_is_no_connection_is_not_taken_for_one(launching):
    held = Held(launching)

    with held.join("cat", terminal=(80, 24)) as session, pytest.raises(JoinRefused, match="no connection"):
        session.take_connection()
    held.end()


def test_who_listens_nowhere_is_said_for_both_addresses():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        connected(port).close()

    with pytest.raises(CannotConnect, match=rf"port {port} of the run: 127\.0\.0\.1: .*; ::1: "):
        connected(port)
