"""Who kills what makes networks, and how many runs one has: whoever is in it goes on, and nothing is given twice."""

import os
import signal

import pytest

from api.kinds import JOB, NETWORK
from support.networked import NetworkedDaemon, a_networked_daemon

pytestmark = pytest.mark.needs_root
LINKS = "from controller.netlink import links\nimport json\nprint(json.dumps([n for n in links.names('rw') if n[6] == 'v']))"


def declare(daemon: NetworkedDaemon, name: str, **spec) -> None:
    metadata = {"name": name, "namespace": "default"}
    document = {"apiVersion": NETWORK.api_version, "kind": "Network", "metadata": metadata, "spec": spec}
    daemon.client.apply(NETWORK, "default", document)


def places(daemon: NetworkedDaemon) -> dict[str, dict]:
    return {
        name: job["status"]["runs"][-1]["network"]
        for name, job in daemon.jobs().items()
        if job["status"].get("phase") == "Running"
    }


def both_of(place: dict) -> list[str]:
    return [address for address in (place["address"], place.get("ipv6Address")) if address]


@pytest.mark.invariant("N4")
@pytest.mark.invariant("N7")
def test_runs_stay_in_their_networks_whoever_of_ours_is_killed():
    with a_networked_daemon() as daemon:
        declare(daemon, "k")
        first = daemon.serve("k1", "k")
        closed = daemon.serve("k2", "k", ingress=["8000"], egress=["k1:8000"])
        for number, kills_daemon in enumerate((False, True), 3):
            daemon.kill_launcher()
            if kills_daemon:
                daemon.kill_daemon()
                daemon.start()
            newest = daemon.serve(f"k{number}", "k")
            assert len({place["address"] for place in places(daemon).values()}) == number
            asked = [["tcp", address, 8000] for place in (first, closed, newest) for address in both_of(place)]
            others = asked[: -len(both_of(newest))]
            daemon.until(
                "it reaches all", lambda name=f"k{number}", others=others: all(daemon.probe_from(name, *others))
            )
            assert not any(daemon.probe_from("k1", *(["udp", address, 8000] for address in both_of(closed))))
            assert daemon.probe_from("k2", ["tcp", first["address"], 8000], ["tcp", newest["address"], 8000]) == [
                True,
                False,
            ]
        run = daemon.client.get(JOB, "default", "k2")["status"]["runs"][0]
        os.kill(run["pid"], signal.SIGKILL)
        daemon.until("its link is gone", lambda: len(daemon.host.json(LINKS)) == len(places(daemon)) == 3)


@pytest.mark.slow
@pytest.mark.invariant("N4")
def test_two_hundred_runs_are_in_one_network_and_all_reach_each_other():
    count = 199  # And the one that asks: no more run on a host at once by default.
    with a_networked_daemon() as daemon:
        declare(daemon, "big")
        daemon.serve("probe", "big")
        for number in range(count):
            more = {"ingress": []} if number % 10 == 0 else {}
            daemon.apply(f"j{number}", command=["sleep", "1000"], network={"name": "big", **more})
        daemon.until("all run", lambda: len(places(daemon)) == count + 1, 900, 0.5)
        found = places(daemon)
        assert len({address for place in found.values() for address in both_of(place)}) == sum(
            len(both_of(place)) for place in found.values()
        )
        found.pop("probe")
        asked = [(name, ["icmp", address, 0]) for name, place in found.items() for address in both_of(place)]
        reached = dict.fromkeys(found, True)
        for begin in range(0, len(asked), 100):
            part = asked[begin : begin + 100]
            answers = daemon.probe_from("probe", *(target for _, target in part))
            reached |= {name: reached[name] and got for (name, _), got in zip(part, answers, strict=True)}
        assert {name for name, got in reached.items() if not got} == {f"j{number}" for number in range(0, count, 10)}
        daemon.kill_daemon()
        daemon.start()
        assert {name: place["address"] for name, place in places(daemon).items() if name != "probe"} == {
            name: place["address"] for name, place in found.items()
        }
        for name in found:
            daemon.delete(name)
        daemon.until("all are gone", lambda: len(daemon.host.json(LINKS)) == 1, 900, 0.5)
