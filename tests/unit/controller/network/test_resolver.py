"""Answering for names, over real sockets."""

import socket
import struct
import threading
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.network import names
from controller.network import resolver as module
from controller.network.records import Led
from controller.network.resolver import Resolver

AT, WORLD = "127.0.0.53", "127.0.0.54"
KNOWN = {"db": (ip_address("10.0.0.2"),)}


class Gate:
    """Lets these names be asked for; keeps what they led to, or fails to let it through."""

    def __init__(self, names=(), failure=None):
        self.names, self.failure, self.led = set(names), failure, []

    def may_ask(self, asker, name):
        return name in self.names and str(asker).startswith("127.")

    def let_through(self, asker, name, led):
        if self.failure:
            raise self.failure
        self.led.append((name, led))


@pytest.fixture
def port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        tried.bind((AT, 0))
        return tried.getsockname()[1]


@pytest.fixture
def resolver(tmp_path, port):
    own = Resolver(tmp_path / "resolv.conf", port)
    own.start()
    yield own
    own.stop()


def question(name: str) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0"
    return struct.pack("!HHHHHH", 5, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!HH", names.A, 1)


def ask(name: str, port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10)
        asking.connect((AT, port))
        asking.send(question(name))
        return asking.recv(600)


def ask_by_tcp(name: str, port: int) -> bytes:
    with socket.create_connection((AT, port), 10) as asking:
        asking.sendall(struct.pack("!H", len(question(name))) + question(name))
        return asking.makefile("rb").read()[2:]


def test_own_names_are_answered_by_udp_and_by_tcp(resolver, port):
    resolver.serve("a", AT, lambda: KNOWN, Gate())

    assert ask("db", port).endswith(b"\x0a\0\0\2")
    assert ask_by_tcp("db", port).endswith(b"\x0a\0\0\2")


@pytest.mark.invariant("N2")
def test_names_of_the_world_are_no_way_out_of_a_network_that_has_none(resolver, port):
    resolver.serve("a", AT, lambda: KNOWN, Gate())

    assert ask("secret.example.com", port)[3] & 0xF == names.REFUSED


def test_where_nobody_is_to_be_asked_the_answer_is_a_failure_and_not_silence(resolver, port, tmp_path):
    (tmp_path / "resolv.conf").write_text("# none\n")
    resolver.serve("a", AT, lambda: KNOWN, Gate({"example.com"}))

    assert ask("example.com", port)[3] & 0xF == names.SERVER_FAILURE


def test_a_network_that_is_forgotten_is_not_answered_and_its_address_is_free(resolver, port):
    resolver.serve("a", AT, lambda: KNOWN, Gate())
    resolver.forget("a")

    with pytest.raises(ConnectionRefusedError):
        ask("db", port)
    resolver.serve("b", AT, dict, Gate())
    assert ask("db", port)[3] & 0xF == names.NO_SUCH_NAME


def test_an_address_that_something_else_listens_on_is_told(resolver, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((AT, port))
        with pytest.raises(OSError, match="have what listens there listen on addresses of its own"):
            resolver.serve("a", AT, lambda: KNOWN, Gate())


def send(port: int, message: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(message, (AT, port))


def test_a_question_for_what_is_nearly_an_address_ends_nothing(resolver, port):
    resolver.serve("a", AT, lambda: KNOWN, Gate())
    asked = question(".".join("f" * 31 + "-") + ".ip6.arpa")[:-4] + struct.pack("!HH", names.PTR, 1)
    send(port, asked)

    assert ask("db", port).endswith(b"\x0a\0\0\2")


def test_what_goes_wrong_with_a_message_is_its_own_and_is_told_once_a_while(resolver, port, caplog):
    broken = [OverflowError("no"), RuntimeError("no"), KeyError("no")]

    def known():
        if broken:
            raise broken.pop()
        return KNOWN

    resolver.serve("a", AT, known, Gate())
    for _ in range(2):
        send(port, question("db"))
    assert ask_by_tcp("db", port) == b""

    assert ask("db", port).endswith(b"\x0a\0\0\2")
    assert resolver.is_alive()
    assert [each.message for each in caplog.records] == ["something went wrong in a thread that goes on"]


def test_who_says_a_byte_at_a_time_is_hung_up_on(resolver, port, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.3)
    resolver.serve("a", AT, lambda: KNOWN, Gate())
    with socket.create_connection((AT, port), 10) as asking:
        asking.settimeout(0.05)
        asking.sendall(struct.pack("!H", 0xFFFF))
        said = b"x"
        while said:
            try:
                asking.sendall(b"x")
                said = asking.recv(1)
            except TimeoutError:
                continue
            except ConnectionError:
                said = b""

    assert ask("db", port).endswith(b"\x0a\0\0\2")


HEADS = st.one_of(st.just(struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0)), st.binary(max_size=12))
PARTS = st.lists(st.one_of(st.sampled_from((b"-", b"f", b"ip6", b"arpa")), st.binary(max_size=63)), max_size=36)
MESSAGES = st.builds(
    lambda head, parts, end: head + b"".join(bytes((len(part),)) + part for part in parts) + end,
    HEADS,
    PARTS,
    st.one_of(st.just(b"\0" + struct.pack("!HH", names.PTR, 1)), st.binary(max_size=9)),
)


@given(st.lists(MESSAGES, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_sent_the_next_one_is_answered(resolver, port, messages):
    resolver.serve("a", AT, lambda: KNOWN, Gate())
    for message in messages:
        send(port, message)

    assert ask("db", port).endswith(b"\x0a\0\0\2")


@pytest.fixture
def world(port):
    """One who answers for all names with 192.0.2.7, for as long as the test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((WORLD, port))

        def answer() -> None:
            message, sender = opened.recvfrom(600)
            record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + bytes((192, 0, 2, 7))
            opened.sendto(message[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + message[12:] + record, sender)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield
        if thread.is_alive():
            opened.sendto(question("end"), (WORLD, port))
        thread.join()


@pytest.fixture
def asking(tmp_path, port, world):
    own = Resolver(tmp_path / "none", port, (WORLD,), port)
    own.start()
    yield own
    own.stop()


@pytest.mark.invariant("N6")
def test_what_a_name_leads_to_is_let_through_before_it_is_told(asking, port):
    gate = Gate({"example.com"})
    asking.serve("a", AT, dict, gate)

    assert ask("Example.com", port).endswith(bytes((192, 0, 2, 7)))
    assert gate.led == [("example.com", (Led(ip_address("192.0.2.7"), 60),))]


@pytest.mark.invariant("N6")
def test_nobody_is_told_of_what_could_not_be_let_through(asking, port):
    asking.serve("a", AT, dict, Gate({"example.com"}, OSError("the set is full")))

    assert ask("example.com", port)[3] & 0xF == names.SERVER_FAILURE
