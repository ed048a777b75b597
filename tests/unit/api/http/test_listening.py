"""How many connections there are at once: on the real server, over real sockets."""

import contextlib
import resource
import select
import socket
import ssl
import tracemalloc

import pytest

from api.http import patience, server
from api.http.app import build_app
from api.http.listening import Listener, Places, origin_of
from api.http.server import ApiServer, Tls
from controller.daemon.authority import HostAuthority
from controller.engine.clock import SystemClock
from support.api_server import LiveApi
from support.http import client_of


@pytest.fixture
def listener():
    with Listener(socket.AF_INET, socket.SOCK_STREAM, places=Places(3, 2)) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def connected(listener, origin="127.0.0.1"):
    made = socket.socket()
    made.bind((origin, 0))
    made.connect(listener.getsockname())
    return made


def test_one_address_does_not_take_all_places(listener):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(listener)) for _ in range(3)]
        taken = [stack.enter_context(listener.accept()[0]) for _ in range(2)]
        with pytest.raises(ConnectionAbortedError, match=r"no place for one more connection, from 127\.0\.0\.1"):
            listener.accept()
        assert clients[2].recv(1) == b""
        other = stack.enter_context(connected(listener, "127.0.0.2"))
        stack.enter_context(listener.accept()[0])
        one_more = stack.enter_context(connected(listener, "127.0.0.3"))
        with pytest.raises(ConnectionAbortedError):
            listener.accept()
        assert (one_more.recv(1), len(taken), listener.count, other.fileno() >= 0) == (b"", 2, 3, True)


def test_a_place_is_given_back_once_when_a_connection_is_closed(listener):
    with connected(listener), connected(listener):
        first, _ = listener.accept()
        second, _ = listener.accept()
        first.close()
        first.close()
        assert listener.count == 1
        second.close()
        assert listener.count == 0


@pytest.mark.parametrize(
    ("address", "origin"),
    [(("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7"), (("fe80::1%eth0", 1, 0, 2), "fe80::/64"), ("", "here")],
)
def test_who_has_one_address_of_a_network_has_all_of_them(address, origin):
    assert origin_of(address) == origin


def test_half_of_the_descriptors_are_left_for_work(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 1024))
    assert Places().within_descriptors() == Places(512, 256)
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert Places().within_descriptors() == Places()


class Encrypted(LiveApi):
    """The API with TLS and room for four connections there."""

    def start(self):
        authority = HostAuthority(self.socket.parent / "pki", SystemClock(), (), ("127.0.0.1", 0))
        self.trusting = ssl.create_default_context(cadata=authority.certificate_pem().decode())
        tls = Tls("127.0.0.1", 0, authority.context(), Places(4, 4))
        self._server = ApiServer(build_app(self._surroundings()), self.socket, tls)
        self._server.start()

    @property
    def port(self):
        return self._server.encrypted_port()


@pytest.fixture
def live(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "_GOODBYE_SECONDS", 0.2)
    live = Encrypted(tmp_path)
    yield live
    live.close()


@pytest.mark.invariant("P5")
def test_the_unix_socket_is_served_while_the_network_takes_all_its_places(live):
    """Nobody on the network, known or not, keeps root out; and who leaves, makes room."""
    crowd = [socket.create_connection(("127.0.0.1", live.port), 10) for _ in range(40)]
    turned_away = [raw for raw in crowd[4:] if select.select([raw], [], [], 10)[0] and raw.recv(1) == b""]
    assert len(turned_away) == 36
    with client_of(live.socket) as root:
        assert root.get("/apis/runwright.dev/v1alpha1/jobs").status_code == 200
    for raw in crowd:
        raw.close()
    assert health_over_tls(live).endswith(b"ok")


@pytest.mark.invariant("P5")
def test_who_says_nothing_costs_little_memory_before_the_handshake(live):
    crowd = []
    tracemalloc.start()
    try:
        for _ in range(4):
            crowd.append(socket.create_connection(("127.0.0.1", live.port), 10))
        with client_of(live.socket) as root:
            assert root.get("/livez").status_code == 200  # So they have been accepted.
        buffers = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(inclusive=True, filename_pattern="*sslproto*")]
        )
        assert sum(trace.size for trace in buffers.traces) < 4 * (64 << 10)
    finally:
        tracemalloc.stop()
        for raw in crowd:
            raw.close()


@pytest.mark.invariant("P5")
def test_who_says_nothing_after_the_handshake_has_left_soon_whether_it_says_goodbye_or_not(live, monkeypatch):
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.2)
    with (
        socket.create_connection(("127.0.0.1", live.port), 10) as raw,
        live.trusting.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        ended = select.poll()
        ended.register(tls, select.POLLRDHUP)
        assert ended.poll(10_000)  # It never reads, so it never sees nor answers that the server says goodbye.


def health_over_tls(live):
    """Ask for health until there is a place."""
    while True:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", live.port), 10) as raw,
            live.trusting.wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            tls.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            said = b""
            while part := tls.recv(1 << 16):
                said += part
            return said
