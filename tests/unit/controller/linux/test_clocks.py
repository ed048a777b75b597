import os
import time

import pytest

from controller.linux import capabilities, clocks
from controller.linux.capabilities import Capability
from support.in_child import in_child

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.elsewhere("a kernel with time namespaces"),
    pytest.mark.skipif(not clocks.are_separable(), reason="this kernel has no time namespaces"),
]


def test_the_children_count_from_now_and_the_process_itself_goes_on():
    def body():
        before = time.monotonic()
        begun = clocks.begin_anew()
        seen = in_child(
            lambda: (time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME), os.readlink("/proc/self/ns/time"))
        )
        return begun, before, time.monotonic(), seen

    begun, before, after, (monotonic, since_boot, namespace) = in_child(body)
    assert begun
    assert after >= before
    assert 0 <= monotonic < 60
    assert 0 <= since_boot < 60
    assert namespace != os.readlink("/proc/self/ns/time")


def test_without_the_right_to_set_clocks_they_go_as_the_hosts_do():
    def body():
        capabilities.drop_all_except(frozenset({Capability.SYS_ADMIN}))
        return clocks.begin_anew(), in_child(time.monotonic), in_child(lambda: os.readlink("/proc/self/ns/time"))

    begun, monotonic, namespace = in_child(body)
    assert not begun
    assert monotonic > 60 or time.monotonic() < 120
    assert namespace != os.readlink("/proc/self/ns/time")
