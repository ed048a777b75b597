"""Which devices a host has, and which of their names count."""

from controller.devices import cdi
from controller.devices.inventory import merge
from support.cdi import KIND, a_device, a_node, a_spec


def specs(*documents, directory="/etc/cdi"):
    return [cdi.parse(document, f"{directory}/{number}.json") for number, document in enumerate(documents)]


def names(inventory, kind=KIND):
    return [device.name for device in inventory.countable(kind)]


def test_devices_are_counted_in_the_order_people_count_in():
    devices = [a_device(name, a_node("/dev/x", f"/dev/{name}")) for name in ("10", "2", "b", "a1")]

    inventory = merge([specs(a_spec(*devices))])

    assert names(inventory) == ["2", "10", "a1", "b"]


def test_the_device_that_is_all_of_them_is_not_counted():
    one, other = a_node("/dev/a"), a_node("/dev/b", "/dev/full")
    for everything in ("all", "both"):
        devices = [a_device("0", one), a_device("1", other), a_device(everything, one, other)]
        assert names(merge([specs(a_spec(*devices))])) == ["0", "1"]


def test_one_device_called_all_beside_one_other_is_not_counted():
    assert names(merge([specs(a_spec(a_device("0", a_node("/dev/a")), a_device("all", a_node("/dev/a"))))])) == ["0"]


def test_second_names_of_a_device_are_not_counted():
    devices = [a_device("0", a_node("/dev/a")), a_device("GPU-1b2c", a_node("/dev/b", "/dev/zero"))]

    assert names(merge([specs(a_spec(*devices))])) == ["0"]


def test_devices_that_share_a_node_and_have_others_are_counted_each():
    shared = a_node("/dev/nvidia0")
    parts = [a_device(f"0:{n}", shared, a_node(f"/dev/cap{n}", f"/dev/cap{n}")) for n in range(3)]

    assert names(merge([specs(a_spec(*parts))])) == ["0:0", "0:1", "0:2"]


def test_devices_without_nodes_are_told_apart_by_name():
    devices = [{"name": name, "containerEdits": {"env": [f"A={name}"]}} for name in ("a", "b", "all")]

    assert names(merge([specs(a_spec(*devices))])) == ["a", "b"]


def test_a_later_directory_wins():
    early = specs(a_spec(a_device("0", a_node("/dev/early"))))
    late = specs(a_spec(a_device("0", a_node("/dev/late"))), directory="/var/run/cdi")

    inventory = merge([early, late])

    assert inventory.devices[f"{KIND}=0"].edits.nodes[0].path == "/dev/late"
    assert inventory.problems == ()


def test_a_device_that_two_files_of_one_directory_declare_is_nobodys():
    inventory = merge(
        [specs(a_spec(a_device("0"), a_device("1", a_node("/dev/b", "/dev/full"))), a_spec(a_device("0")))]
    )

    assert names(inventory) == ["1"]
    cause = "/etc/cdi/0.json and /etc/cdi/1.json both declare it: remove one"
    assert inventory.problems == (f"cannot use device {KIND}=0: {cause}",)


def test_a_name_that_two_files_of_a_later_directory_declare_is_not_taken_from_an_earlier():
    early = specs(a_spec(a_device("0")))
    late = specs(a_spec(a_device("0")), a_spec(a_device("0")), directory="/run/cdi")

    assert names(merge([early, late])) == []


def test_kinds_are_told_in_order():
    inventory = merge([specs(a_spec(a_device("0"), kind="b.com/x"), a_spec(a_device("0"), kind="a.com/x"))])

    assert inventory.kinds() == ("a.com/x", "b.com/x")
