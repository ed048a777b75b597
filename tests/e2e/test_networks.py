"""Who reaches whom, measured: every pair of host, jobs and the outside, by TCP, UDP, ICMP and IPv6."""

import itertools
import os
import signal
import subprocess

import pytest

from api.kinds import JOB, NETWORK
from support.networked import (
    HOST_ADDRESS,
    HOST_ADDRESS6,
    OUTSIDE_ADDRESS,
    OUTSIDE_ADDRESS6,
    SERVER,
    NetworkedDaemon,
    a_networked_daemon,
    probe_in,
)

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def daemon():
    with a_networked_daemon() as own:
        yield own


PROTOCOLS = ("tcp", "udp", "icmp")


def declare(daemon: NetworkedDaemon, name: str, **spec) -> None:
    document = {"apiVersion": NETWORK.api_version, "kind": "Network", "metadata": {"name": name}, "spec": spec}
    daemon.client.apply(NETWORK, "default", {**document, "metadata": {"name": name, "namespace": "default"}})


def phase(daemon: NetworkedDaemon, name: str) -> str:
    return str(daemon.status(name).get("phase", ""))


def targets_of(place) -> list[list]:
    addresses = [address for address in (place["address"], place.get("ipv6Address")) if address]
    return [[protocol, address, 8000] for protocol, address in itertools.product(PROTOCOLS, addresses)]


def listening(netns):
    """Start a server in a namespace of the test's; the caller ends it."""
    started = subprocess.Popen(netns.command(SERVER), stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "serving\n"
    return started


@pytest.mark.invariant("N1")
@pytest.mark.invariant("N2")
def test_everybody_reaches_exactly_whom_the_networks_say(daemon):
    declare(daemon, "a", cidr="10.10.0.0/24")
    declare(daemon, "b", egress=["any"])
    places = {
        name: daemon.serve(name, network)
        for name, network in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("i1", "isolated"), ("i2", "isolated"))
    }
    servers = [listening(daemon.host), listening(daemon.outside)]
    try:
        own = daemon.client.get(NETWORK, "default", "a")["status"]["cidr"].replace(".0/24", ".1")
        worlds = (OUTSIDE_ADDRESS, *((OUTSIDE_ADDRESS6,) if places["a1"].get("ipv6Address") else ()))
        others = {
            "host": [[protocol, each, 8000] for protocol in PROTOCOLS for each in (HOST_ADDRESS, HOST_ADDRESS6)]
            + [[protocol, own, 8000] for protocol in PROTOCOLS],
            "outside": [[protocol, each, 8000] for protocol in PROTOCOLS for each in worlds],
            "cloud": [["tcp", "169.254.169.254", 80]],
        }
        targets = {name: targets_of(place) for name, place in places.items()} | others
        reached = {("a1", "a2"), ("a2", "a1"), ("b1", "outside"), ("i1", "outside"), ("i2", "outside")}
        # A new bridge looks for a moment whether somebody has its link-local address: until then IPv6 waits.
        for source, target in sorted(reached):
            daemon.until(
                f"{source} reaches {target}",
                lambda who=source, whom=target: all(daemon.probe_from(who, *targets[whom])),
            )
        wrong = []
        for source in (*places, "host", "outside"):
            asked = [
                (target, each)
                for target, several in targets.items()
                for each in several
                if target != source and not {source, target} <= {"host", "outside", "cloud"}
            ]
            netns = {"host": daemon.host, "outside": daemon.outside}.get(source)
            probes = [each for _, each in asked]
            found = probe_in(netns, *probes) if netns else daemon.probe_from(source, *probes)
            wrong += [
                (source, target, *each)
                for (target, each), got in zip(asked, found, strict=True)
                if got != ((source, target) in reached)
            ]
        assert wrong == []
    finally:
        for server in servers:
            server.kill()
            server.communicate()


@pytest.mark.invariant("N2")
def test_a_published_port_is_reached_from_the_host_and_from_outside_and_by_no_job(daemon):
    place = daemon.serve("web", "bridge", ports=[{"containerPort": 8000}, {"containerPort": 8000, "protocol": "UDP"}])
    daemon.serve("alone", "isolated")
    tcp, udp = (port["hostPort"] for port in place["ports"])

    assert probe_in(daemon.host, ["tcp", "127.0.0.1", tcp], ["tcp", HOST_ADDRESS, tcp]) == [True, True]
    assert probe_in(daemon.outside, ["tcp", HOST_ADDRESS, tcp], ["udp", HOST_ADDRESS, udp]) == [True, True]
    assert probe_in(daemon.outside, ["tcp", HOST_ADDRESS, tcp + 100]) == [False]
    assert daemon.probe_from("alone", ["tcp", HOST_ADDRESS, tcp]) == [False]
    if place.get("ipv6Address"):  # As far as this kernel gives jobs any.
        six = [["tcp", HOST_ADDRESS6, tcp], ["udp", HOST_ADDRESS6, udp]]
        # A new bridge looks for a moment whether somebody has its link-local address: until then IPv6 waits.
        daemon.until("IPv6", lambda: all(probe_in(daemon.host, *six)))
        assert probe_in(daemon.outside, *six, ["tcp", HOST_ADDRESS6, tcp + 100]) == [True, True, False]
        assert probe_in(daemon.outside, ["tcp", place["ipv6Address"], 8000], ["tcp", place["ipv6Address"], tcp]) == [
            False,
            False,
        ]
        assert daemon.probe_from("alone", *six) == [False, False]
        refused = "import socket\ntry: socket.create_connection(('::1', {}), 30)\nexcept ConnectionRefusedError: print('\"no\"')"
        assert daemon.host.json(refused.format(tcp)) == "no"  # At once: who says localhost goes on to 127.0.0.1.


def test_a_job_is_found_by_its_name_and_its_aliases_from_its_own_network_alone(daemon):
    ask = "import socket; print(socket.gethostbyname('{}'))"
    declare(daemon, "database")
    place = daemon.serve("pg", "database", aliases=["db"])
    daemon.serve("other", "bridge")
    daemon.serve("user", "database")

    for name in ("pg", "db", "DB"):
        found = daemon.rnx("exec", "user", "--", "python3", "-c", ask.format(name))
        assert found.stdout.strip() == place["address"], found.stderr
    before = daemon.client.get(NETWORK, "default", "database")["status"]["refused"]
    assert daemon.probe_from("user", ["tcp", OUTSIDE_ADDRESS, 443]) == [False]
    daemon.until(
        "it is counted", lambda: daemon.client.get(NETWORK, "default", "database")["status"]["refused"] > before
    )
    elsewhere = daemon.rnx("exec", "other", "--", "python3", "-c", ask.format("db"))
    assert "Name or service not known" in elsewhere.stderr
    daemon.delete("pg")
    daemon.until("pg is gone", lambda: daemon.rnx("get", "job", "pg").returncode)
    gone = daemon.rnx("exec", "user", "--", "python3", "-c", ask.format("db"))
    assert "Name or service not known" in gone.stderr


@pytest.mark.invariant("N5")
def test_what_somebody_removes_is_made_again_under_running_jobs(daemon):
    remove = "from controller.netlink import links\nfor name in links.names('rw'):\n    if name[6] == 'b': links.remove(name)\n"
    flush = (
        "from controller.netlink.nft import Table\nimport hashlib\n"
        "Table('runwright-' + hashlib.sha256({root!r}.encode()).hexdigest()[:8]).remove()\n"
    )
    declare(daemon, "r")
    first, second = daemon.serve("r1", "r"), daemon.serve("r2", "r")
    web = daemon.serve("r3", "bridge")
    peer, stranger = ["tcp", second["address"], 8000], ["tcp", web["address"], 8000]
    assert daemon.probe_from("r1", peer, stranger) == [True, False]

    daemon.host.run(remove)
    daemon.until("they reach each other", lambda: daemon.probe_from("r1", peer) == [True], 20, 0.2)
    daemon.host.run(flush.format(root=str(daemon.root.resolve())))
    daemon.until("they are apart", lambda: daemon.probe_from("r1", stranger) == [False], 20, 0.2)
    assert daemon.probe_from("r1", peer) == [True]
    assert first["address"] != second["address"]


@pytest.mark.invariant("N4")
def test_networks_and_addresses_outlive_a_controller_that_is_killed(daemon):
    declare(daemon, "k")
    before = {name: daemon.serve(name, "k")["address"] for name in ("k1", "k2")}
    daemon.kill_daemon()
    daemon.start()

    place = daemon.serve("k3", "k")
    assert len({*before.values(), place["address"]}) == 3
    assert daemon.probe_from("k3", *(["tcp", address, 8000] for address in before.values())) == [True, True]


@pytest.mark.invariant("N4")
def test_a_run_whose_supervisor_is_killed_leaves_no_link_and_its_address_is_free(daemon):
    names = "from controller.netlink import links\nimport json\nprint(json.dumps([n for n in links.names('rw') if n[6] == 'v']))"
    declare(daemon, "tiny", cidr="10.9.9.0/29")
    before = set(daemon.host.json(names))
    for number in range(6):
        daemon.serve(f"j{number}", "tiny")
        there = set(daemon.host.json(names))
        assert len(there - before) == 1
        run = daemon.client.get(JOB, "default", f"j{number}")["status"]["runs"][0]
        os.kill(run["pid"], signal.SIGKILL)
        daemon.until("it is told", lambda number=number: phase(daemon, f"j{number}") == "Failed")
        daemon.until("its link is gone", lambda: set(daemon.host.json(names)) == before)


def test_a_network_that_nobody_declared_is_named_with_those_that_there_are(daemon):
    refused = daemon.rnx("job", "run", "--network=databse", "true")
    assert refused.returncode == 2
    assert 'there is no network "databse"' in refused.stderr
    assert all(name in refused.stderr for name in ("bridge", "isolated", "none", "web"))

    daemon.apply("waits", network={"name": "databse"})
    daemon.until("it says so", lambda: daemon.status("waits").get("reason") == "NetworkNotFound")
    declare(daemon, "databse")
    daemon.until("it runs", lambda: phase(daemon, "waits") == "Succeeded")
