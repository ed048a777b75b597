"""Which devices exclude each other, in the forms in which vendors declare them."""

import stat

import pytest

from controller.devices import cdi, sharing
from controller.devices.fitting import HostFile
from controller.devices.inventory import Inventory, merge
from support.cdi import a_device, a_node, a_spec

GPU = "nvidia.com/gpu"
NUMBERS = {
    **{f"/dev/g{n}": (195, n) for n in range(4)}, "/dev/ctl": (195, 255), "/dev/modeset": (195, 254),
    **{f"/dev/cap{n}": (235, n) for n in range(9)}, **{f"/dev/card{n}": (226, n) for n in range(4)},
    "/dev/by-path/g0": (195, 0), "/dev//g0": (195, 0),
}  # fmt: skip


def look(path):
    return HostFile(stat.S_IFCHR | 0o666, *NUMBERS[path]) if path in NUMBERS else None


def specs(*kinds):
    """An inventory of `(kind, common nodes, {name: nodes})`."""
    parsed = []
    for kind, common, devices in kinds:
        made = [a_device(name, *map(node, own.split())) for name, own in devices.items()]
        of_all = {"deviceNodes": [node(one) for one in common.split()]} if common else {}
        parsed.append(cdi.parse(a_spec(*made, kind=kind, **of_all), f"/etc/cdi/{len(parsed)}.json"))
    return merge([parsed]).on_host(look)


def node(name):
    return a_node(f"/dev/inside/{name.strip('/').replace('/', '-')}", f"/dev/{name}")


def apart(inventory: Inventory, one: str, other: str) -> bool:
    """Whether two runs can have them."""
    nodes = inventory.nodes
    first = inventory.excludes(nodes[one], nodes[other])
    assert first == inventory.excludes(nodes[other], nodes[one])
    return not first


def gpus(**devices):
    return (GPU, "", devices)


@pytest.mark.parametrize("common", ["", "ctl modeset"])
def test_parts_of_a_gpu_can_be_had_by_two_and_the_whole_of_it_by_nobody_beside_them(common):
    every = {"0": "g0 card0", "0:0": "g0 cap1 cap2", "0:1": "g0 cap3 cap4", "1": "g1 card1"}
    inventory = specs((GPU, common, every | {"all": " ".join(every.values())}))

    assert apart(inventory, f"{GPU}=0:0", f"{GPU}=0:1")
    assert not apart(inventory, f"{GPU}=0", f"{GPU}=0:0")
    assert not apart(inventory, f"{GPU}=0", f"{GPU}=0:1")
    assert apart(inventory, f"{GPU}=1", f"{GPU}=0")
    assert apart(inventory, f"{GPU}=1", f"{GPU}=0:1")
    assert [device.name for device in inventory.countable(GPU)] == ["0:0", "0:1", "1"]


def test_the_parts_of_one_gpu_alone_are_not_had_beside_the_whole_of_it():
    inventory = specs(gpus(**{"0": "g0 card0", "0:0": "g0 cap1", "0:1": "g0 cap3"}))

    assert apart(inventory, f"{GPU}=0:0", f"{GPU}=0:1")
    assert not apart(inventory, f"{GPU}=0", f"{GPU}=0:0")


@pytest.mark.parametrize(
    "others", [{"0": "g0 ctl", "1": "g1 ctl"}, {"0": "g0 ctl", "1": "g1 ctl card1", "2": "ctl g2"}]
)
def test_gpus_that_share_a_node_for_control_can_be_had_each(others):
    inventory = specs(gpus(**others))

    assert apart(inventory, f"{GPU}=0", f"{GPU}=1")
    assert len(inventory.countable(GPU)) == len(others)


def test_a_node_that_is_a_device_itself_is_none_for_control():
    inventory = specs(gpus(p="g0 g1", q="g0 g2"), ("b.com/gpu", "", {"0": "g0"}))

    assert not apart(inventory, f"{GPU}=p", f"{GPU}=q")
    assert not apart(inventory, f"{GPU}=p", "b.com/gpu=0")


def test_a_node_of_a_whole_spec_that_another_kind_gives_away_is_none_for_control():
    inventory = specs(("a.com/x", "g0", {"x": "g1"}), ("b.com/y", "", {"y": "g0 g2"}))

    assert not apart(inventory, "a.com/x=x", "b.com/y=y")


def test_pairs_that_overlap_are_not_had_by_two():
    inventory = specs(gpus(a="g0 g1", b="g1 g2", c="g2 g3"))

    assert not apart(inventory, f"{GPU}=a", f"{GPU}=b")
    assert apart(inventory, f"{GPU}=a", f"{GPU}=c")
    assert [device.name for device in inventory.countable(GPU)] == ["a", "c"]


def test_a_ring_of_pairs_counts_as_many_as_can_be_had_together():
    inventory = specs(gpus(a="g0 g1", b="g1 g2", c="g2 g3", d="g3 g0"))

    assert [device.name for device in inventory.countable(GPU)] == ["a", "c"]


@pytest.mark.parametrize("path", ["/g0", "by-path/g0"])
def test_a_node_is_the_same_whatever_path_leads_to_it(path):
    inventory = specs(gpus(a="g0"), ("b.com/gpu", "", {"b": path}))

    assert inventory.nodes[f"{GPU}=a"] == inventory.nodes["b.com/gpu=b"] == {"c195:0"}
    assert not apart(inventory, f"{GPU}=a", "b.com/gpu=b")


def test_a_node_by_numbers_of_the_spec_is_the_one_that_the_host_has_elsewhere():
    by_number = a_device("n", a_node("/dev/inside", "/dev/nowhere", type="c", major=195, minor=0))
    inventory = merge(
        [[cdi.parse(a_spec(by_number), "/a.json"), cdi.parse(a_spec(a_device("p", node("g0"))), "/b.json")]]
    )

    one, other = inventory.on_host(look).nodes.values()
    assert one == other == {"c195:0"}


def test_a_path_without_a_node_is_told_apart_as_it_is_meant():
    inventory = specs(gpus(a="none", b="/none"))

    assert set(inventory.nodes.values()) == {frozenset({"/dev/none"})}


def test_devices_without_nodes_are_each_their_own_beside_what_their_spec_gives_to_all():
    inventory = specs(("a.com/x", "ctl", {"p": "g0"}))
    bare = [{"name": name, "containerEdits": {"env": [f"A={name}"]}} for name in ("a", "b")]
    whole = merge([[cdi.parse(a_spec(*bare, deviceNodes=[node("ctl")]), "/etc/cdi/a.json")]]).on_host(look)

    assert [device.name for device in whole.countable("example.com/zero")] == ["a", "b"]
    assert [device.name for device in inventory.countable("a.com/x")] == ["p"]


def test_nodes_are_read_as_they_were_written():
    nodes = frozenset({"c195:0", "b8:16", "=a.com/x=y"})

    assert sharing.of_text(sharing.as_text(nodes)) == nodes
    assert sharing.of_text("") == frozenset()


def test_a_node_that_is_one_device_by_itself_is_no_control_node_whatever_that_device_is_called():
    inventory = specs((GPU, "", {"0": "g0 g1", "1": "g0 g2"}), ("b.com/x", "", {"all": "g0"}))

    assert not apart(inventory, f"{GPU}=0", f"{GPU}=1")
