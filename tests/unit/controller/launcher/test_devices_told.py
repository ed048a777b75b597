import os
import stat

import pytest

from controller.launcher import devices_told
from controller.launcher.receipt import NotEnforced
from controller.sandbox.spec import DeviceNode


def full(**changes):
    fields = {
        "path": "/dev/full",
        "kind": "c",
        "major": 1,
        "minor": 7,
        "mode": stat.S_IMODE(os.stat("/dev/full").st_mode),
    }
    return DeviceNode(**{**fields, **changes})


def test_nodes_are_told_as_the_kernel_has_them():
    assert devices_told.read([full()]) == {"/dev/full": f"c 1:7 {full().mode:04o}"}
    assert devices_told.read([]) == {}


@pytest.mark.parametrize("wrong", [{"minor": 5}, {"major": 2}, {"kind": "b"}, {"mode": 0o400}])
def test_a_node_that_is_not_as_wanted_keeps_the_run_from_beginning(wrong):
    with pytest.raises(NotEnforced, match="the kernel says that /dev/full is c 1:7 "):
        devices_told.read([full(**wrong)])


def test_a_node_that_is_not_there_keeps_the_run_from_beginning(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        devices_told.read([full(path=str(tmp_path / "none"))])
