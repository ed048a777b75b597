"""A run that is in the host's own network, as its policy lets it: it is there, and has no rights over it."""

import os
import socket
from pathlib import Path

import pytest

from controller.launcher.network_end import NetworkEnd
from controller.linux import landlock
from controller.sandbox.rights import Rights
from support.joining import Held

pytestmark = pytest.mark.needs_root
ON_HOST = Rights(host_network=True)
PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
OTHERS = ("cgroup", "ipc", "mnt", "pid", "user", "uts")
ABSTRACT_SCOPE_ABI = 6
REFUSED = """
import errno, fcntl, socket, struct, sys
def refused(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "nothing"
"""


def asked(launching, script, *arguments, rights=ON_HOST):
    record, output = launching.run("python3", "-c", REFUSED + script, *arguments, rights=rights, stderr=True)
    assert record.exit_code == 0, (record, output)
    return output.split()


@pytest.fixture
def server():
    """Somebody who listens on the host's loopback alone, and says who he is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


CONNECT = "print(refused(socket.create_connection, ('127.0.0.1', int(sys.argv[1])), 5))"


def test_it_reaches_what_listens_on_the_hosts_loopback_and_no_other_run_does(launching, server):
    assert asked(launching, CONNECT, str(server)) == ["nothing"]
    assert asked(launching, CONNECT, str(server), rights=Rights()) == ["ECONNREFUSED"]


@pytest.mark.invariant("X6")
def test_its_network_alone_is_the_hosts_and_its_receipt_says_so(launching):
    record, output = launching.run("readlink", *(f"/proc/self/ns/{name}" for name in ("net", *OTHERS)), rights=ON_HOST)
    hosts = [os.readlink(f"/proc/self/ns/{name}") for name in ("net", *OTHERS)]

    told = output.split()
    assert told[0] == hosts[0]
    assert not set(told[1:]) & set(hosts)
    assert record.receipt["hostNetwork"] is True
    assert f"net:[{record.receipt['namespaces']['net']}]" == hosts[0]


def test_any_other_run_has_a_network_of_its_own(launching):
    record, output = launching.run("readlink", "/proc/self/ns/net")

    assert output.strip() != os.readlink("/proc/self/ns/net")
    assert "hostNetwork" not in record.receipt


NO_RIGHTS = """
def bind(port):
    with socket.socket() as one:
        one.bind(("127.0.0.1", port))
def up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, 0x8914, struct.pack("16sH22x", b"lo", 0))  # SIOCSIFFLAGS: down.
print(refused(bind, 1))
print(refused(up))
print(refused(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
print(refused(open, "/proc/sys/net/ipv4/ip_forward", "w"))
"""


def test_it_has_no_rights_over_that_network(launching):
    before = PORTS.read_text()

    low, down, raw, setting = asked(launching, NO_RIGHTS)

    assert int(before) <= 1 or low == "EACCES"
    assert down == "EPERM"
    assert raw in {"EPERM", "EACCES", "EPROTONOSUPPORT", "EAFNOSUPPORT"}
    assert setting in {"EROFS", "EACCES"}
    assert PORTS.read_text() == before


def test_a_right_to_low_ports_opens_none_of_the_hosts(launching):
    before = PORTS.read_text()

    asked(launching, "print('ran')", rights=Rights(capabilities=("NET_BIND_SERVICE",), host_network=True))

    assert PORTS.read_text() == before


ABSTRACT = """
one = socket.socket(socket.AF_UNIX)
print(refused(one.connect, "\\0" + sys.argv[1]))
"""


@pytest.mark.skipif(landlock.abi() < ABSTRACT_SCOPE_ABI, reason="this kernel holds no abstract sockets apart")
def test_abstract_sockets_of_the_host_are_out_of_reach_of_it_and_of_who_joins(launching):
    """CVE-2020-15257 was reached so: they belong to the network, whatever directories somebody sees."""
    name = f"runwright-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()

        assert asked(launching, ABSTRACT, name) == ["EPERM"]
        held = Held(launching, "sleep", "1000", rights=ON_HOST)
        assert held.output("python3", "-c", REFUSED + ABSTRACT, name) == (0, "EPERM\n")
        held.end()


def test_who_joins_it_is_in_the_same_network(launching, server):
    held = Held(launching, "sleep", "1000", rights=ON_HOST)

    assert held.output("python3", "-c", REFUSED + CONNECT, str(server)) == (0, "nothing\n")
    held.end()


def test_a_run_is_not_in_a_network_and_in_the_hosts(launching):
    with pytest.raises(ValueError, match="in a network and in the host's"):
        launching.spec("true", rights=ON_HOST, network=NetworkEnd("b", "l", (("192.0.2.9", "192.0.2.1"),)))
