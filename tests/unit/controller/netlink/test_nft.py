"""The kernel's table, and being told of changes: in a network namespace of the test's own."""

import pytest

from support.networked import Netns

pytestmark = pytest.mark.needs_root

LOOK = """
import json, socket
from controller.netlink.nft import Table
from controller.netlink.words import Accept, Chain, Count, Drop, Hook, Pair, Pairs, Port, Protocol
table, other = Table("x"), Table("y")
known = (Protocol("udp"), Port(9, 9), Count(), Accept())
table.replace((Chain("no", (known, (Accept(),)), hook=Hook.OUTPUT), Chain("more", ((Drop(),),))), (Pairs("p", 4),))
other.replace((Chain("no", ((Count(), Accept()),), hook=Hook.OUTPUT),))
before = table.generation()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for _ in range(3): s.sendto(b"x", ("127.0.0.1", 9))
found = table.look()
after = [table.generation()]
table.add([Pair("p", bytes(8), 60000)])
after.append(table.generation())
other.remove()
after.append(table.generation())
print(json.dumps({
    "found": sorted((chain, count) for (chain, _), count in found.items()), "numbers": len(found),
    "gone": other.look(), "after": [each - before for each in after],
}))
"""
TOLD = """
import json, queue
from pyroute2 import IPRoute
from controller.netlink.monitor import Monitor
from controller.netlink.nft import Table
told = queue.Queue()
monitor = Monitor("rwb", lambda: told.put("link"), lambda: told.put("rules"))
monitor.start()
with IPRoute() as route:
    for name in ("rwv1", "rwb1"):
        route.link("add", ifname=name, kind="bridge")
    route.link("del", index=route.link_lookup(ifname="rwv1")[0])
    Table("x").replace(())
    first = told.get(timeout=30)
    route.link("del", index=route.link_lookup(ifname="rwb1")[0])
    then = told.get(timeout=30)
    while then == "rules": then = told.get(timeout=30)
alive = monitor.is_alive()
monitor.stop()
print(json.dumps([first, then, alive]))
"""


@pytest.fixture
def own():
    netns = Netns()
    yield netns
    netns.close()


def test_a_table_is_read_with_its_counts_and_the_generation_changes_with_rules_alone(own):
    found = own.json(LOOK)

    assert found["found"] == [["more", 0], ["no", 0], ["no", 3]]
    assert found["numbers"] == 3
    assert found["gone"] == {}
    assert found["after"][0] == 0
    assert 0 < found["after"][1] < found["after"][2]


@pytest.mark.invariant("N5")
def test_a_bridge_that_is_removed_is_told_and_so_are_rules_but_no_link_of_a_run(own):
    assert own.json(TOLD) == ["rules", "link", True]
