import socket

import pytest

from controller.linux import capabilities, loopback, namespaces
from controller.linux.namespaces import LinuxNamespace
from support.in_child import in_child

pytestmark = pytest.mark.needs_root


def talk_to_oneself():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"hello")
        connection, _ = server.accept()
        with connection:
            return connection.recv(5)


def test_a_new_network_can_talk_to_itself_once_loopback_is_up():
    def body():
        namespaces.unshare(LinuxNamespace.NETWORK)
        with pytest.raises(OSError, match="Network is unreachable"):
            talk_to_oneself()
        loopback.bring_up()
        return talk_to_oneself()

    assert in_child(body) == b"hello"


def test_without_the_right_to_it_is_refused():
    def body():
        namespaces.unshare(LinuxNamespace.NETWORK)
        capabilities.drop_all_except(frozenset())
        with pytest.raises(PermissionError):
            loopback.bring_up()

    in_child(body)
