"""What a network and its jobs say of whom they reach, measured: by name, by address, by port, in both address families."""

import itertools
from datetime import UTC, datetime

import pytest

from api.kinds import JOB, NETWORK
from api.meta import read_rfc3339
from support.networked import (
    MORE_OUTSIDE,
    OUTSIDE_ADDRESS,
    SERVER,
    NetworkedDaemon,
    a_networked_daemon,
    names_of,
    running,
)

pytestmark = pytest.mark.needs_root
FIRST, SECOND = MORE_OUTSIDE[0], MORE_OUTSIDE[1]
ASK = "import socket; print(sorted({each[4][0] for each in socket.getaddrinfo('%s', 80, socket.AF_INET)}))"
FORGE = """
import errno, socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
    s.bind((sys.argv[1], 0))
    try: s.sendto(b"x", (sys.argv[2], 8000)); print("sent")
    except OSError as error: print(errno.errorcode[error.errno])
"""


CONNECT = """
import errno, socket, sys
for address in sys.argv[1:]:
    with socket.socket() as s: print(errno.errorcode[s.connect_ex((address, 8000))])
"""


SINK = """
import socket, threading
listening = socket.create_server(("", 8001))
print("serving", flush=True)
def talk(opened):
    with opened, opened.makefile("rb") as reading:
        wanted = int(reading.readline())
        if wanted < 0: opened.sendall(bytes(-wanted))
        else: reading.read(wanted)
        opened.sendall(b"x")
while True: threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()
"""
TRANSFER = """
import socket, sys, time
for sign in (1, -1):
    with socket.create_connection((sys.argv[1], 8001)) as s:
        began = time.monotonic()
        s.sendall(b"%d\\n" % (sign * 2**20))
        if sign > 0: s.sendall(bytes(2**20))
        left = 1 if sign > 0 else 2**20 + 1
        while left: left -= len(s.recv(65536))
        print(time.monotonic() - began)
"""


@pytest.fixture(scope="module")
def daemon():
    names = names_of(first=(FIRST,), second=(SECOND,))
    with (
        a_networked_daemon(f"network.resolvers=[{OUTSIDE_ADDRESS}]") as own,
        running(own.outside, names),
        running(own.outside, SERVER),
    ):
        yield own


def declare(daemon: NetworkedDaemon, name: str, **spec) -> None:
    metadata = {"name": name, "namespace": "default"}
    document = {"apiVersion": NETWORK.api_version, "kind": "Network", "metadata": metadata, "spec": spec}
    daemon.client.apply(NETWORK, "default", document)


def refusals(daemon: NetworkedDaemon, kind: str, name: str) -> dict:
    status = daemon.client.get({"Job": JOB, "Network": NETWORK}[kind], "default", name)["status"]
    found = status.get("refusals", ())
    assert status.get("refused", 0) >= len(found)
    return {(each["sourceJob"], each["destination"], each["protocol"], each.get("port", 0)): each for each in found}


def ask(daemon: NetworkedDaemon, job: str, name: str) -> str:
    done = daemon.rnx("exec", job, "--", "python3", "-c", ASK % name)
    return done.stdout.strip() or done.stderr.splitlines()[-1]


@pytest.mark.invariant("N6")
def test_an_allowed_name_opens_what_it_leads_to_for_who_was_told_and_nothing_else(daemon):
    declare(daemon, "named", egress=["first.example:8000"])
    daemon.serve("n1", "named")
    daemon.serve("n2", "named")
    at_first, at_second = ["tcp", FIRST, 8000], ["tcp", SECOND, 8000]
    assert daemon.probe_from("n1", at_first) == [False]

    assert ask(daemon, "n1", "First.example") == f"['{FIRST}']"

    assert (
        daemon.probe_from("n1", at_first, at_second, ["udp", FIRST, 8000], ["icmp", FIRST, 0]) == [True] + [False] * 3
    )
    assert daemon.probe_from("n2", at_first) == [False]
    assert "socket.gaierror" in ask(daemon, "n1", "second.example")

    daemon.kill_daemon()
    daemon.start()
    daemon.serve("n3", "named", egress=["10.0.0.0/8"])  # Rules of its own: all are put anew.
    assert daemon.probe_from("n1", at_first, at_second) == [True, False]
    assert daemon.probe_from("n2", at_first) == [False]
    assert "socket.gaierror" in ask(daemon, "n3", "first.example")

    declare(daemon, "named", egress=["second.example:8000"])
    daemon.until("the name is forgotten", lambda: daemon.probe_from("n1", at_first) == [False])
    assert ask(daemon, "n1", "second.example") == f"['{SECOND}']"
    assert daemon.probe_from("n1", at_first, at_second) == [False, True]


@pytest.mark.invariant("N7")
@pytest.mark.invariant("N8")
def test_what_a_job_says_narrows_what_its_network_lets_and_never_widens_it(daemon):
    declare(daemon, "wide", egress=["any"])
    declare(daemon, "narrow", egress=[f"{FIRST}:8000"])
    said = {
        "client": {"egress": ["server:8000", f"{FIRST}:8000", "second.example:8000"]},
        "server": {"ingress": ["8000"], "egress": ["peers"]},
        "closed": {"ingress": [], "egress": []},
        "usual": {},
    }
    places = {name: daemon.serve(name, "wide", **more) for name, more in said.items()}
    daemon.serve("greedy", "narrow", egress=["any"])
    ways = {"address": "", "ipv6Address": "6"}
    asked = [
        (f"{protocol}{six} {name}", [protocol, place[field], 8000])
        for (name, place), (field, six), protocol in itertools.product(
            places.items(), ways.items(), ("tcp", "udp", "icmp")
        )
        if place.get(field)
    ]
    asked += [(f"tcp {name}", ["tcp", to, 8000]) for name, to in (("first", FIRST), ("second", SECOND))]

    def reached(source: str) -> set[str]:
        mine = [(name, target) for name, target in asked if not name.endswith(f" {source}")]
        found = daemon.probe_from(source, *(target for _, target in mine))
        return {name for (name, _), got in zip(mine, found, strict=True) if got}

    six = bool(places["usual"].get("ipv6Address"))
    both = lambda name, *protocols: {  # noqa: E731
        f"{protocol}{version} {name}" for protocol in protocols for version in ("", *(("6",) if six else ()))
    }
    daemon.until("the bridge is ready", lambda: reached("client") >= both("server", "tcp"))
    assert reached("client") == both("server", "tcp") | {"tcp first"}
    assert reached("server") == both("client", "tcp", "udp", "icmp") | both("usual", "tcp", "udp", "icmp")
    assert reached("closed") == set()
    assert reached("usual") == both("client", "tcp", "udp", "icmp") | both("server", "tcp") | {
        "tcp first",
        "tcp second",
    }
    assert reached("greedy") == {"tcp first"}
    assert ask(daemon, "client", "second.example") == f"['{SECOND}']"
    assert reached("client") == both("server", "tcp") | {"tcp first", "tcp second"}
    assert "socket.gaierror" in ask(daemon, "client", "first.example")
    told = daemon.rnx("exec", "closed", "--", "python3", "-c", CONNECT, places["usual"]["address"], FIRST)
    assert told.stdout.split() == ["ECONNREFUSED", "EHOSTUNREACH"]
    told = daemon.until("it is told", lambda: refusals(daemon, "Network", "wide").get(("closed", FIRST, "tcp", 8000)))
    assert told["count"] >= 1
    told = daemon.until("the job too", lambda: refusals(daemon, "Job", "closed").get(("closed", FIRST, "tcp", 8000)))
    assert read_rfc3339(told["lastTime"]) <= datetime.now(UTC)
    described = daemon.rnx("describe", "job/closed").stdout
    assert f"{FIRST}  " in described.partition("Refused:")[2]
    assert "ConnectionRefused" in described
    shown = daemon.rnx("describe", "network/wide").stdout
    assert f"(job/closed)  {FIRST}" in " ".join(shown.split()).replace("(job/closed) ", "(job/closed)  ")
    labels = '{namespace="default",network="wide"}'
    measured = dict(line.rsplit(" ", 1) for line in daemon.metrics().splitlines() if not line.startswith("#"))
    assert float(measured[f"runwright_network_runs{labels}"]) == len(places)
    for name in ("refused_packets", "received_bytes", "sent_bytes"):
        assert float(measured[f"runwright_network_{name}_total{labels}"]) > 0
    if six:
        forged = daemon.rnx(
            "exec",
            "closed",
            "--",
            "python3",
            "-c",
            FORGE,
            places["usual"]["ipv6Address"],
            places["client"]["ipv6Address"],
        )
        assert forged.stdout.strip() == "ENETUNREACH"


@pytest.mark.invariant("N9")
def test_a_run_sends_and_receives_no_more_than_it_may(daemon):
    said = {"bandwidth": {"ingress": "8M", "egress": "4M"}}
    with running(daemon.outside, SINK):
        daemon.serve("thin", "bridge", **said)
        done = daemon.rnx("exec", "thin", "--", "python3", "-c", TRANSFER, OUTSIDE_ADDRESS)

    sent, received = map(float, done.stdout.split())
    assert sent > 0.8 * 2**20 / 500_000  # All but the burst, and what may be off in a clock.
    assert received > 0.8 * 2**20 / 1_000_000
