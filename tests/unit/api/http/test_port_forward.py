"""Ports of a run over a WebSocket, with listeners of the test's in the run's place; real runs are in tests/e2e."""

import contextlib
import json
import socket
import threading
from struct import Struct

import pytest
import websocket

from api.http import port_forward, spdy
from support.tunnel import Tunnel, a_websocket, data

PORT = Struct("<H")


@pytest.fixture
def pod(api, pod):
    api.above.listeners = {80: listener(echo), 81: listener(greet), 82: listener(hold), 83: listener(slam)}
    yield f"{pod}/portforward"
    api.above.listeners = {}


def listener(serve):
    return lambda connection: threading.Thread(target=serve, args=(connection,), daemon=True).start()


def echo(connection):
    with connection, contextlib.suppress(OSError):
        while chunk := connection.recv(1 << 16):
            connection.sendall(chunk)
        connection.sendall(b"<end>")


def greet(connection):
    with connection:
        connection.sendall(b"hello")


def hold(connection):
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"ready")
        connection.recv(1)


def slam(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, Struct("ii").pack(1, 0))
    connection.close()


# As kubectl speaks


def test_what_is_sent_comes_back_and_either_side_may_end_first(api, pod):
    with Tunnel(api.socket, pod) as tunnel:
        errors, stream = tunnel.connect(80)
        tunnel.until(lambda: {errors, stream} <= tunnel.replied)
        tunnel.send(data(stream, b"one ") + data(stream, b"two"))
        tunnel.send(data(stream, ended=True))
        tunnel.until(lambda: {errors, stream} <= tunnel.ended)

    assert tunnel.received == {stream: b"one two<end>", errors: b""}


def test_a_megabyte_goes_to_and_fro_in_frames_of_any_size(api, pod):
    content = bytes(range(256)) * 4096

    with Tunnel(api.socket, pod) as tunnel:
        _, stream = tunnel.connect(80)
        sender = threading.Thread(target=lambda: tunnel.send(data(stream, content) + data(stream, ended=True)))
        sender.start()
        tunnel.until(lambda: stream in tunnel.ended)
        sender.join()

    assert tunnel.received[stream] == content + b"<end>"


def test_connections_of_one_tunnel_are_apart(api, pod):
    with Tunnel(api.socket, pod) as tunnel:
        _, first = tunnel.connect(80, "0")
        _, second = tunnel.connect(81, "1")
        tunnel.until(lambda: second in tunnel.ended)
        assert first not in tunnel.ended
        tunnel.send(data(first, b"still", ended=True))
        tunnel.until(lambda: first in tunnel.ended)

    assert (tunnel.received[first], tunnel.received[second]) == (b"still<end>", b"hello")


def test_a_port_that_nobody_listens_on_is_told_on_the_stream_of_errors(api, pod):
    with Tunnel(api.socket, pod) as tunnel:
        errors, stream = tunnel.connect(99)
        tunnel.until(lambda: {errors, stream} <= tunnel.ended)

    assert tunnel.received[errors] == b"cannot connect to port 99 of the run: nobody listens"


def test_a_tunnel_goes_on_after_a_connection_that_failed_and_after_one_that_was_reset(api, pod):
    with Tunnel(api.socket, pod) as tunnel:
        tunnel.connect(99, "0")
        _, held = tunnel.connect(82, "1")
        tunnel.until(lambda: tunnel.received.get(held) == b"ready")
        tunnel.send(spdy.Writer.reset(held, spdy.Cause.CANCEL))
        tunnel.until(lambda: held in tunnel.ended)
        _, slammed = tunnel.connect(83, "2")
        tunnel.until(lambda: slammed in tunnel.ended)
        _, greeted = tunnel.connect(81, "3")
        tunnel.until(lambda: greeted in tunnel.ended)

    assert tunnel.received[greeted] == b"hello"


def test_pings_come_back(api, pod):
    with Tunnel(api.socket, pod) as tunnel:
        tunnel.send(spdy.Writer.ping(2) + spdy.Writer.ping(7))
        tunnel.until(lambda: tunnel.pings)

    assert tunnel.pings == [7]


@pytest.mark.parametrize(
    "headers",
    [
        {"streamtype": "data", "port": "80", "requestid": "0"},
        {"streamtype": "error", "port": "0", "requestid": "0"},
        {"streamtype": "error", "port": "http", "requestid": "0"},
        {"streamtype": "error", "port": "65536", "requestid": "0"},
        {"streamtype": "other", "port": "80", "requestid": "0"},
        {},
    ],
)
def test_a_stream_that_makes_no_sense_is_reset_and_the_others_go_on(api, pod, headers):
    with Tunnel(api.socket, pod) as tunnel:
        bad = tunnel.open(**headers)
        tunnel.until(lambda: bad in tunnel.resets)
        _, stream = tunnel.connect(81, "1")
        tunnel.until(lambda: stream in tunnel.ended)

    assert tunnel.resets == {bad: spdy.Cause.PROTOCOL_ERROR}


def test_streams_of_errors_that_nothing_follows_are_bounded(api, pod):
    with Tunnel(api.socket, pod) as tunnel:
        for number in range(port_forward.MOST_CONNECTIONS):
            dropped = tunnel.open(streamtype="error", port="80", requestid=str(number))
        refused = tunnel.open(streamtype="error", port="80", requestid="more")
        tunnel.until(lambda: refused in tunnel.resets)
        tunnel.send(spdy.Writer.reset(dropped, spdy.Cause.CANCEL))
        taken = tunnel.open(streamtype="error", port="80", requestid="again")
        tunnel.until(lambda: taken in tunnel.replied)

    assert tunnel.resets[refused] == spdy.Cause.REFUSED_STREAM


def test_connections_that_are_open_count_among_those_there_may_be(api, pod, monkeypatch):
    monkeypatch.setattr(port_forward, "MOST_CONNECTIONS", 2)
    with Tunnel(api.socket, pod) as tunnel:
        held = [tunnel.connect(82, str(number))[1] for number in range(2)]
        tunnel.until(lambda: all(tunnel.received.get(stream) == b"ready" for stream in held))
        refused = tunnel.open(streamtype="error", port="82", requestid="2")
        tunnel.until(lambda: refused in tunnel.resets)
        again = tunnel.open(streamtype="data", port="82", requestid="0")
        tunnel.until(lambda: again in tunnel.resets)

    assert tunnel.resets == {refused: spdy.Cause.REFUSED_STREAM, again: spdy.Cause.PROTOCOL_ERROR}


def test_streams_without_a_request_belong_together_when_they_follow_each_other(api, pod):
    with Tunnel(api.socket, pod) as tunnel:
        errors = tunnel.open(streamtype="error", port="81")
        stream = tunnel.open(streamtype="data", port="81")
        tunnel.send(data(stream, ended=True))
        tunnel.until(lambda: {errors, stream} <= tunnel.ended)
        _, after = tunnel.connect(81, "1")
        tunnel.until(lambda: after in tunnel.ended)

    assert (tunnel.received[stream], tunnel.received[after], tunnel.resets) == (b"hello", b"hello", {})


def test_nonsense_ends_the_tunnel(api, pod):
    tunnel = Tunnel(api.socket, pod)
    tunnel.send(b"\x80\x03\x00\x06\x00\x00\x00\x01x")

    opcode, frame = tunnel.websocket.recv_data()

    tunnel.websocket.shutdown()
    assert (opcode, Struct(">H").unpack(frame[:2])[0]) == (websocket.ABNF.OPCODE_CLOSE, 1002)


@pytest.mark.invariant("X43")
def test_a_connection_ends_when_its_client_goes(api, pod):
    ended = threading.Event()

    def notice(connection):
        with connection:
            connection.sendall(b"ready")
            while connection.recv(1 << 16):
                pass
        ended.set()

    api.above.listeners[84] = listener(notice)
    with Tunnel(api.socket, pod) as tunnel:
        _, stream = tunnel.connect(84)
        tunnel.until(lambda: tunnel.received.get(stream) == b"ready")

    assert ended.wait(20)


def test_a_client_that_goes_while_nobody_takes_what_it_sent_is_noticed(api, pod):
    ended = threading.Event()

    def ignore(connection):
        connection.sendall(b"ready")
        ended.wait(20)
        connection.close()

    api.above.listeners[85] = listener(ignore)
    with Tunnel(api.socket, pod) as tunnel:
        tunnel.websocket.settimeout(0.5)
        _, stream = tunnel.connect(85)
        tunnel.until(lambda: tunnel.received.get(stream) == b"ready")
        megabytes = (tunnel.send(data(stream, b"x" * (1 << 20))) for _ in range(100))
        with pytest.raises(websocket.WebSocketTimeoutException):
            list(megabytes)
    ended.set()

    with Tunnel(api.socket, pod) as another:
        _, stream = another.connect(81)
        another.until(lambda: stream in another.ended)
    assert another.received[stream] == b"hello"


# As libraries speak


def channels(api, pod, *ports, subprotocols=("v4.channel.k8s.io",)):
    return a_websocket(api.socket, f"{pod}?ports={','.join(map(str, ports))}", *subprotocols)


def messages(stream):
    found = {}
    while (opcode_and_frame := stream.recv_data())[0] != websocket.ABNF.OPCODE_CLOSE:
        _, frame = opcode_and_frame
        found.setdefault(frame[0], []).append(frame[1:])
    stream.shutdown()
    return found


@pytest.mark.parametrize("subprotocols", [("v4.channel.k8s.io",), ("x", "portforward.k8s.io"), ()])
def test_each_port_has_two_channels_which_begin_with_its_number(api, pod, subprotocols):
    found = messages(channels(api, pod, 81, 99, subprotocols=subprotocols))

    assert {channel: parts[0] for channel, parts in found.items()} == {n: PORT.pack((81, 99)[n // 2]) for n in range(4)}
    assert b"".join(found[0][1:]) == b"hello"
    assert found[3][1:] == [b"cannot connect to port 99 of the run: nobody listens"]


def test_what_is_sent_on_a_channel_reaches_its_port(api, pod):
    stream = channels(api, pod, 82, 80)
    for message in (b"\x02abc", b"\x03not read", b"\x7fnobody's", b"", b"\x00!"):
        stream.send_binary(message)
    got = b""
    while got != b"abc":
        _, frame = stream.recv_data()
        got += frame[1:] if frame[0] == 2 and frame[1:] != PORT.pack(80) else b""

    stream.shutdown()
    assert got == b"abc"


@pytest.mark.parametrize(
    ("query", "cause"),
    [
        ("", "is required"),
        ("?ports=", "unable to parse"),
        ("?ports=80,http", "unable to parse 'http'"),
        ("?ports=0", "unable to parse"),
        ("?ports=65536", "unable to parse"),
        ("?ports=" + ",".join(["80"] * 65), "at most 64"),
    ],
)
def test_ports_that_are_none_are_refused_with_a_status(api, pod, query, cause):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        a_websocket(api.socket, pod + query, "v4.channel.k8s.io")

    assert refused.value.status_code == 400
    assert cause in json.loads(refused.value.resp_body)["message"]


def test_other_subprotocols_are_refused(api, pod):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        a_websocket(api.socket, pod, "v9.channel.k8s.io")

    assert "SPDY/3.1+portforward.k8s.io" in json.loads(refused.value.resp_body)["message"]


def test_a_run_that_has_ended_has_no_ports(api, pod):
    api.state("Ended")

    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        channels(api, pod, 80)

    assert "it has ended" in json.loads(refused.value.resp_body)["message"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_asks_without_a_websocket_is_told(api, pod, method):
    answer = api.client.request(method, pod)

    assert (answer.status_code, "Upgrade request required" in answer.json()["message"]) == (400, True)
