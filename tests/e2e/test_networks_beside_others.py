"""Networks on a host that has others: neighbours who may not use it as a router, another daemon, and who wants a router."""

import json

import pytest

from api.kinds import NETWORK
from support.networked import (
    HOST_ADDRESS,
    HOST_ADDRESS6,
    OUTSIDE_ADDRESS,
    OUTSIDE_ADDRESS6,
    SERVER,
    Netns,
    NetworkedDaemon,
    a_networked_daemon,
    probe_in,
    running,
)

pytestmark = pytest.mark.needs_root

ELSEWHERE, ELSEWHERE6 = "198.51.100.2", "2001:db8:1::2"
_BACK = """
from pyroute2 import IPRoute
with IPRoute() as route:
    route.route("add", dst="default", gateway="198.51.100.1")
    route.route("add", dst="default", gateway="2001:db8:1::1", family=10)
"""
_ROUTE = f"""
from pyroute2 import IPRoute
with IPRoute() as route:
    route.route("add", dst="198.51.100.0/24", gateway={HOST_ADDRESS!r})
    route.route("add", dst="2001:db8:1::/64", gateway={HOST_ADDRESS6!r}, family=10)
"""


@pytest.fixture(scope="module")
def daemon():
    with a_networked_daemon() as own:
        yield own


@pytest.fixture(scope="module")
def elsewhere(daemon):
    """A second neighbour of the host, by a link of its own; who answers on port 8000, as the first does."""
    netns = Netns()
    daemon.host.connect(netns, "up1", ["198.51.100.1", "2001:db8:1::1"], [ELSEWHERE, ELSEWHERE6])
    netns.run(_BACK)
    daemon.outside.run(_ROUTE)
    with running(netns, SERVER), running(daemon.outside, SERVER):
        yield netns
    netns.close()


def declare(daemon: NetworkedDaemon, name: str) -> None:
    document = {
        "apiVersion": NETWORK.api_version,
        "kind": "Network",
        "metadata": {"name": name, "namespace": "default"},
    }
    daemon.client.apply(NETWORK, "default", {**document, "spec": {"egress": ["any"]}})


def switches(daemon: NetworkedDaemon) -> dict[str, str]:
    found = daemon.host.run(
        "import json; from pathlib import Path; conf = Path('/proc/sys/net/ipv4/conf')\n"
        "print(json.dumps({each: (conf / each / 'forwarding').read_text().strip() for each in ('all', 'up0', 'up1')}))"
    )
    said: dict[str, str] = json.loads(found)
    return said


def test_a_host_whose_jobs_may_leave_is_no_router_for_its_neighbours(daemon, elsewhere):
    declare(daemon, "out")
    daemon.serve("guest", "out")
    daemon.until("its link is switched", lambda: switches(daemon)["up0"] == "1")

    both = (["tcp", OUTSIDE_ADDRESS, 8000], ["udp", OUTSIDE_ADDRESS6, 8000])
    across = [["tcp", ELSEWHERE, 8000], ["udp", ELSEWHERE, 8000], ["icmp", ELSEWHERE, 0], ["tcp", ELSEWHERE6, 8000]]

    # A new bridge looks for a moment whether somebody has its link-local address: until then IPv6 waits.
    daemon.until("it is let out", lambda: daemon.probe_from("guest", *both) == [True, True])
    assert probe_in(daemon.outside, *across) == [False] * len(across)
    assert switches(daemon) == {"all": "0", "up0": "1", "up1": "1"}


def test_jobs_of_two_daemons_of_one_host_reach_their_peers_and_the_world(daemon, elsewhere):
    with a_networked_daemon(beside=daemon) as other:
        for each in (daemon, other):
            declare(each, "both")
            place = each.serve("one", "both")
            each.serve("two", "both")
            near = [["tcp", place[field], 8000] for field in ("address", "ipv6Address")]
            all_of = (["tcp", OUTSIDE_ADDRESS, 8000], *near)
            each.until("it reaches all", lambda each=each, all_of=all_of: all(each.probe_from("two", *all_of)))
        far = other.serve("far", "both")

        assert daemon.probe_from("two", ["tcp", far["address"], 8000], ["tcp", far["ipv6Address"], 8000]) == [False] * 2
    assert daemon.probe_from("two", ["tcp", ELSEWHERE, 8000]) == [True]


def test_who_wants_the_host_to_be_a_router_says_so_and_has_it(daemon, elsewhere):
    declare(daemon, "out")
    daemon.until("its link is switched", lambda: switches(daemon)["up0"] == "1")
    assert probe_in(daemon.outside, ["tcp", ELSEWHERE, 8000]) == [False]

    daemon.host.run("open('/proc/sys/net/ipv4/ip_forward', 'w').write('1')")

    daemon.until("it is one", lambda: probe_in(daemon.outside, ["tcp", ELSEWHERE, 8000]) == [True])
    daemon.host.run("open('/proc/sys/net/ipv4/ip_forward', 'w').write('0')")
    daemon.until("jobs are let out again", lambda: switches(daemon)["up0"] == "1")
    assert probe_in(daemon.outside, ["tcp", ELSEWHERE, 8000]) == [False]
