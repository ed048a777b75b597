"""Bytes that no client would send, to the real API: no 500, no hang, nothing that grows, and it serves on.

Seeds are fixed, so a failure comes again; the slow variants go through many more.
"""

import contextlib
import json
import random
import re
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from api.kinds import KINDS, PROJECTED
from support.api_server import LiveApi, a_live_api, run_status
from support.objects import a_job
from support.secret_objects import a_config_map, a_secret

SECONDS = 10
PATIENCE_MILLISECONDS = 300
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "G\x01T", "")
TYPES = (
    "application/json", "application/yaml", "application/merge-patch+json", "application/json-patch+json",
    "application/apply-patch+yaml", "application/strategic-merge-patch+json", "application/vnd.kubernetes.protobuf",
    "text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "", "\xff",
)  # fmt: skip
WORDS = (
    "true", "0", "-1", "1e999", "99999999999999999999", "\x00", "\x7f", "%00", "%ff", "%c0%af", "../..", "//", "{}", "[]",
    "null", "\u202e", "é", "\U0001f600", "a" * 5000, "'", '"', "a=b,c!=d", "metadata.name=x", "=", "in (", "!", "etl", "default",
)  # fmt: skip
OPTIONS = (
    "limit", "continue", "resourceVersion", "resourceVersionMatch", "watch", "timeoutSeconds", "labelSelector",
    "fieldSelector", "fieldManager", "force", "dryRun", "fieldValidation", "propagationPolicy", "gracePeriodSeconds",
    "tailLines", "sinceTime", "sinceSeconds", "limitBytes", "container", "previous", "stream", "timestamps",
    "includeObject", "pretty", "allowWatchBookmarks", "sendInitialEvents", "command", "stdin", "tty", "path",
)  # fmt: skip
HEADERS = (
    "accept", "content-type", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "host", "range",
    "authorization", "last-event-id", "user-agent", "impersonate-user", "sec-websocket-key", "sec-websocket-version",
    "sec-websocket-protocol", "x-forwarded-for", "content-encoding", "cookie", "if-match",
)  # fmt: skip


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    from api.kinds import CONFIG_MAP, JOB, SECRET

    with a_live_api(tmp_path_factory.mktemp("live")) as live:
        live.create(JOB, a_job("etl"), held=True)
        live.set_status(JOB, "etl", runs=[run_status("Running")])
        live.write_log("etl", 1, "stdout hello")
        live.create(SECRET, a_secret())
        live.create(CONFIG_MAP, a_config_map())
        yield live


class Mutator:
    """Makes requests that are almost right, or not at all."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self) -> bytes:
        """Return one request as bytes; it closes its connection when it is answered."""
        pick = self._random
        body = self.body()
        method = pick.choice(METHODS if pick.random() < 0.05 else METHODS[:5])
        fitting = {"PATCH": pick.choice(TYPES[2:6]), "POST": TYPES[0], "PUT": TYPES[0]}.get(method, "")
        type_ = fitting if pick.random() < 0.85 else pick.choice(TYPES)
        headers = [
            ("host", "x"),
            ("connection", "close"),
            ("content-type", type_),
        ]
        if pick.random() < 0.9:
            headers.append(("content-length", str(len(body) if pick.random() < 0.95 else pick.choice((0, 3, -1)))))
        headers += [(pick.choice(HEADERS), self.header_word()) for _ in range(pick.choice((0, 0, 1, 3)))]
        head = f"{method} {self.path()} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
        whole = head.encode("utf-8", "surrogatepass") + b"\r\n" + body
        return self.damaged(whole) if pick.random() < 0.1 else whole

    def path(self) -> str:
        pick = self._random
        kind = pick.choice((*KINDS, *PROJECTED))
        base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        parts = [base]
        if kind.namespaced and pick.random() < 0.95:
            parts += ["namespaces", self.mostly("default", "nowhere")]
        parts.append(self.mostly(kind.plural, kind.plural))
        if pick.random() < 0.7:
            name = {"Job": "etl", "Pod": "etl-1", "Secret": "db", "ConfigMap": "settings"}.get(kind.name, "default")
            parts.append(self.mostly(name, "new"))
            if pick.random() < 0.3:
                special = {"Pod": ("log", "exec"), "Registry": ("catalogue",)}.get(kind.name, ("status", "explain"))
                parts.append(self.mostly(*special))
        query = "&".join(f"{pick.choice(OPTIONS)}={self.word()}" for _ in range(pick.choice((0, 1, 1, 3))))
        other = ("/", "/version", "/openapi/v3", "/api", "/apis", "/metrics", "/readyz", "*", "x", "/" + self.word())
        path = "/".join(parts) if pick.random() < 0.9 else pick.choice(other)
        target = path + ("?" + query if query else "")
        return quote(target, safe="/?=&%,!()") if pick.random() < 0.95 else target.replace(" ", "").replace("\n", "")

    def mostly(self, *words: str) -> str:
        """Return one of `words`, and now and then something else."""
        return self._random.choice(words) if self._random.random() < 0.92 else self.word()

    def header_word(self) -> str:
        """Return a value that most parsers take."""
        word = self.word()
        return quote(word, safe=" =,;/") if self._random.random() < 0.9 else word.replace("\n", "")

    def word(self) -> str:
        pick = self._random
        if pick.random() < 0.6:
            return pick.choice(WORDS).replace("\r", "")
        return "".join(chr(pick.randrange(32, 1000)) for _ in range(pick.randrange(20)))

    def body(self) -> bytes:
        pick = self._random
        match pick.randrange(6):
            case 0:
                return b""
            case 1:
                return pick.randbytes(pick.randrange(300))
            case 2:
                return b"k8s\x00" + pick.randbytes(pick.randrange(300))
            case 3:
                return self.damaged(json.dumps(self.document()).encode())
            case 4:
                return json.dumps([{"op": pick.choice(("add", "test", "move", "x")), "path": self.word(), "from": self.word(),
                                    "value": self.value(3)} for _ in range(3)]).encode()  # fmt: skip
            case _:
                return json.dumps(self.document()).encode()

    def document(self) -> object:
        pick = self._random
        document = pick.choice(
            (a_job("etl"), a_job("new"), a_secret(), a_config_map(), {"kind": "Namespace", "apiVersion": "v1"})
        )
        document = json.loads(json.dumps(document))
        for _ in range(pick.randrange(4)):
            self._spoil(document)
        return document

    def _spoil(self, document: object) -> None:
        """Put some value somewhere into the document."""
        pick, place = self._random, document
        while isinstance(place, dict) and place:
            name = pick.choice([*place, "metadata", "spec", "annotations", "managedFields", self.word()])
            if pick.random() < 0.5 or not isinstance(place.get(name), dict):
                place[name] = self.value(4)
                return
            place = place[name]

    def value(self, depth: int) -> object:
        pick = self._random
        match pick.randrange(8 if depth else 6):
            case 0:
                return pick.choice((None, True, False))
            case 1:
                return pick.choice((0, -1, 1 << 70, 1.5, 1e308))
            case 2 | 3 | 4:
                return self.word()
            case 5:
                return ""
            case 6:
                return [self.value(depth - 1) for _ in range(pick.randrange(4))]
            case _:
                return {self.word(): self.value(depth - 1) for _ in range(pick.randrange(4))}

    def damaged(self, whole: bytes) -> bytes:
        pick, damaged = self._random, bytearray(whole)
        for _ in range(pick.randrange(1, 6)):
            at = pick.randrange(len(damaged) + 1)
            match pick.randrange(3):
                case 0:
                    damaged[at : at + 1] = pick.randbytes(1)
                case 1:
                    del damaged[at : at + pick.randrange(20)]
                case _:
                    damaged[at:at] = pick.randbytes(pick.randrange(8))
        return bytes(damaged)


def answer_to(path: Path, request: bytes) -> bytes:
    """Return the beginning of the answer; empty if the connection was closed without one.

    Where none comes because the request is not whole, the sending is ended: so the server sees that no more comes.
    """
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(SECONDS)
        raw.connect(str(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            raw.sendall(request)
            waiting = select.poll()
            waiting.register(raw, select.POLLIN)
            if not waiting.poll(PATIENCE_MILLISECONDS):
                raw.shutdown(socket.SHUT_WR)
            return raw.recv(1 << 16)
    return b""


def is_bad(answer: bytes) -> bool:
    status = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return bool(answer) and (status is None or status[1] in (b"500", b"501", b"502"))


def fuzz(live: LiveApi, seed: int, count: int) -> bytes:
    """Send so many requests; return what the health page says after them."""
    mutator = Mutator(seed)
    for number in range(count):
        request = mutator.request()
        try:
            answer = answer_to(live.socket, request)
        except TimeoutError:
            pytest.fail(f"seed {seed}, request {number}: no answer within {SECONDS} s to {request!r}")
        assert not is_bad(answer), f"seed {seed}, request {number}: {answer[:300]!r} to {request!r}"
    return answer_to(live.socket, b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")


@pytest.mark.invariant("P4")
@pytest.mark.parametrize("seed", range(4))
def test_no_request_makes_the_server_fail_or_wait_for_ever(live, seed):
    assert fuzz(live, seed, 250).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
@pytest.mark.invariant("P4")
@pytest.mark.parametrize("seed", range(100, 130))
def test_no_request_of_very_many_makes_the_server_fail_or_wait_for_ever(live, seed):
    assert fuzz(live, seed, 2000).startswith(b"HTTP/1.1 200 ")


def handshake(mutator: Mutator, pick: random.Random) -> bytes:
    subresource = pick.choice(("exec", "attach", "portforward"))
    headers = {
        "host": "x", "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": pick.choice(
            ("v5.channel.k8s.io", "v4.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", "x", mutator.word())
        ),
    }  # fmt: skip
    if pick.random() < 0.3:
        headers[pick.choice(tuple(headers))] = mutator.word()
    head = f"GET /api/v1/namespaces/default/pods/etl-1/{subresource}?command=true&stdin=true&ports=80 HTTP/1.1\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (head + lines).encode("utf-8", "surrogatepass") + b"\r\n"


@pytest.mark.invariant("P4")
@pytest.mark.parametrize("seed", range(2))
def test_no_bytes_in_place_of_websocket_frames_make_the_server_fail_or_wait_for_ever(live, seed):
    mutator, pick = Mutator(seed), random.Random(seed)
    for number in range(100):
        frames = b"".join(
            bytes((pick.randrange(256), pick.randrange(256))) + pick.randbytes(pick.randrange(40)) for _ in range(5)
        )
        if pick.random() < 0.5:  # Frames that are whole, with nonsense in them that may look like SPDY.
            nonsense = pick.choice((b"\x80\x03\x00" + pick.randbytes(20), pick.randbytes(30)))
            frames = bytes((0x82, 0x80 | len(nonsense))) + bytes(4) + nonsense
        answer = answer_to(live.socket, handshake(mutator, pick) + frames)
        assert not is_bad(answer), f"seed {seed}, number {number}: {answer[:200]!r}"


@pytest.mark.invariant("P4")
def test_requests_sent_by_the_byte_and_pipelined_are_answered_as_whole_ones_are(live):
    one = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(SECONDS)
        raw.connect(str(live.socket))
        for at in range(len(one)):
            raw.sendall(one[at : at + 1])
        raw.sendall(one * 50 + b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = b""
        while part := raw.recv(1 << 16):
            received += part
    assert received.count(b"HTTP/1.1 200 OK") == 52


@pytest.mark.invariant("P4")
def test_nothing_grows_however_often_nonsense_is_sent(live):
    def resident() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    fuzz(live, 7, 100)
    before, threads = resident(), threading.active_count()
    fuzz(live, 8, 400)
    assert resident() - before < 30_000, "kB"
    assert threading.active_count() - threads < 40
