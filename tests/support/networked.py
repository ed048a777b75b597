"""A daemon in a network of the test's own: `host` is its network, `outside` is the world; nothing of the machine's."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.kinds import JOB
from api.meta import Document
from support import forked
from support.daemon import Daemon
from support.forked import Start

HOST_ADDRESS, OUTSIDE_ADDRESS = "192.0.2.1", "192.0.2.2"
HOST_ADDRESS6, OUTSIDE_ADDRESS6 = "2001:db8::1", "2001:db8::2"
MORE_OUTSIDE = ("192.0.2.3", "192.0.2.4")
"""Other addresses beyond the host."""
_ROOT = str(Path(__file__).parents[2])
_ENTER = """
import os, sys
sys.path.insert(0, {root!r})
from controller.linux import namespaces
from controller.linux.namespaces import LinuxNamespace
fd = os.open("/proc/{pid}/ns/net", os.O_RDONLY)
namespaces.enter(fd, LinuxNamespace.NETWORK)
os.close(fd)
"""
_HOLD = """
import sys
sys.path.insert(0, {root!r})
from controller.linux import loopback, namespaces
from controller.linux.namespaces import LinuxNamespace
namespaces.unshare(LinuxNamespace.NETWORK)
loopback.bring_up()
print("ready", flush=True)
sys.stdin.read()
"""
_BE_NO_ROUTER = """
for at in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):  # A new namespace may be what the machine is.
    with open(f"/proc/sys/net/{at}", "w") as switch: switch.write("0")
"""
_CONNECT = """
import os
from pyroute2 import IPRoute
other = os.open("/proc/{other}/ns/net", os.O_RDONLY)
with IPRoute() as route:
    route.link("add", ifname={name!r}, kind="veth", peer={{"ifname": {name!r}, "net_ns_fd": other}})
    os.close(other)
"""
_ADDRESS = """
from pyroute2 import IPRoute
with IPRoute() as route:
    index = route.link_lookup(ifname={name!r})[0]
    for address in {addresses!r}:
        more = {{"flags": 2}} if ":" in address else {{}}
        route.addr("add", index=index, address=address, prefixlen=64 if ":" in address else 24, **more)
    route.link("set", index=index, state="up")
"""


_ROUTE = f"""
from pyroute2 import IPRoute
with IPRoute() as route:  # So that it is up to the host whether jobs are reached.
    route.route("add", dst="10.0.0.0/8", gateway={HOST_ADDRESS!r})
    route.route("add", dst="fd00::/8", gateway={HOST_ADDRESS6!r}, family=10)
"""
SERVER = """
import socket, threading
def tcp(family):
    s = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("", 8000)); s.listen()
    def loop():
        while True: s.accept()[0].close()
    threading.Thread(target=loop).start()
def udp(family):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("", 8000))
    def loop():
        while True:
            data, sender = s.recvfrom(100); s.sendto(data, sender)
    threading.Thread(target=loop).start()
for family in (socket.AF_INET, socket.AF_INET6): tcp(family); udp(family)
print("serving", flush=True)
"""
NAMES = """
import socket, struct
from ipaddress import ip_address
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53))
print("serving", flush=True)
while True:
    message, sender = s.recvfrom(4096)
    end = message.index(0, 12) + 5
    name = message[13:13 + message[12]].decode().lower()
    kind = struct.unpack_from("!H", message, end - 4)[0]
    found = [each for each in ADDRESSES.get(name, ()) if ip_address(each).version == {1: 4, 28: 6}.get(kind)]
    records = [struct.pack("!HHHIH", 0xC00C, kind, 1, 600, len(ip_address(each).packed)) + ip_address(each).packed
               for each in found]
    flags = 0x8180 if name in ADDRESSES else 0x8183
    s.sendto(message[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + message[12:end] + b"".join(records), sender)
"""
"""Answers for NAME.example with the addresses of NAME."""
PROBE = """
import json, socket, struct, sys
def tcp(address, port):
    socket.create_connection((address, port), 1).close()
def udp(address, port):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1); s.connect((address, port)); s.send(b"x"); s.recv(10)
def icmp(address, port):
    six = ":" in address
    s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM,
                      socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
    s.settimeout(1); s.connect((address, 0))
    s.send(struct.pack("!BBHHH", 128 if six else 8, 0, 0, 0, 1)); s.recv(100)
def reaches(protocol, address, port):
    try: globals()[protocol](address, port)
    except OSError: return False
    return True
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(lambda each: reaches(*each), json.loads(sys.argv[1])))))
"""


class Netns:
    """A network namespace, for as long as a process of ours is in it."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [sys.executable, "-c", _HOLD.format(root=_ROOT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        self.pid = self._holder.pid

    def command(self, code: str) -> list[str]:
        """Return the command that runs Python in it."""
        return [sys.executable, "-c", _ENTER.format(root=_ROOT, pid=self.pid) + code]

    def run(self, code: str) -> str:
        """Run Python in it, and return what it prints."""
        if (forker := forked.at_hand()) is not None:
            done = forker.run(Start.of_code(code, self.pid), 30)
        else:
            done = subprocess.run(self.command(code), capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def connect(self, other: "Netns", name: str, own: list[str], others: list[str]) -> None:
        """Make a link of that name between two of them, each with addresses of its own."""
        self.run(_CONNECT.format(other=other.pid, name=name))
        for netns, addresses in ((self, own), (other, others)):
            netns.run(_ADDRESS.format(name=name, addresses=addresses))

    def json(self, code: str) -> Any:
        """Run Python in it, and return what it prints as JSON."""
        return json.loads(self.run(code))

    def close(self) -> None:
        """Let it go."""
        self._holder.communicate()


class NetworkedDaemon(Daemon):
    """A daemon in `host`; what is in `outside` is beyond it. One `beside` another is in its."""

    def __init__(self, *settings: str, beside: "NetworkedDaemon | None" = None) -> None:
        super().__init__(*settings)
        self._is_guest = beside is not None
        if beside is not None:
            self.host, self.outside = beside.host, beside.outside
            return
        self.host, self.outside = Netns(), Netns()
        self.host.run(_BE_NO_ROUTER)
        beyond = [OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6, *MORE_OUTSIDE]
        self.host.connect(self.outside, "up0", [HOST_ADDRESS, HOST_ADDRESS6], beyond)
        self.outside.run(_ROUTE)

    def __exit__(self, *exc: Any) -> None:
        try:
            super().__exit__(*exc)
        finally:
            if not self._is_guest:
                self.host.close()
                self.outside.close()

    def _command(self) -> list[str]:
        return [*self.host.command("os.execv(sys.argv[1], sys.argv[1:])"), *super()._command()]

    def _network_of(self) -> int | None:
        return self.host.pid

    def serve(self, name: str, network: str, **more: Any) -> Document:
        """Run a job that answers on port 8000, by TCP and UDP; return where it is."""
        self.apply(name, command=["python3", "-c", SERVER], network={"name": network, **more})
        self.printed(name, "serving")
        place: Document = self.client.get(JOB, "default", name)["status"]["runs"][-1]["network"]
        return place

    def probe_from(self, job: str, *targets: list[Any]) -> list[bool]:
        """Say which targets, each a protocol, an address and a port, a process in the job reaches."""
        done = self.rnx("exec", job, "--", "python3", "-c", PROBE, json.dumps(targets))
        assert done.returncode == 0, done.stderr
        answered: list[bool] = json.loads(done.stdout)
        return answered


@contextmanager
def running(netns: Netns, code: str) -> Iterator[None]:
    """A process in a namespace of the test's that says when it serves."""
    started = subprocess.Popen(netns.command(code), stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == "serving\n"
        yield
    finally:
        started.kill()
        started.communicate()


def names_of(**addresses: tuple[str, ...]) -> str:
    """Return the server that answers for NAME.example."""
    return f"ADDRESSES = {addresses!r}\n{NAMES}"


def probe_in(netns: Netns, *targets: list[Any]) -> list[bool]:
    """The same, from a namespace of the test's."""
    answered: list[bool] = netns.json(f"sys.argv[1:] = [{json.dumps(targets)!r}]\n{PROBE}")
    return answered


@contextmanager
def a_networked_daemon(*settings: str, beside: NetworkedDaemon | None = None) -> Iterator[NetworkedDaemon]:
    """A daemon in a network of the test's own, or in that of the one it is `beside`; gone afterwards."""
    with NetworkedDaemon("runtime.default_registry=", *settings, beside=beside) as daemon:
        daemon.start()
        yield daemon
