"""Limits of processes, set by a process that may raise them and by one that may not."""

import resource

import pytest

from controller.linux import capabilities
from controller.linux.capabilities import Capability
from controller.sandbox import confine
from controller.sandbox.confine import ProcessLimits
from support.crashes import LEAVES_FILES_HERE, crashes_told_to_a_program, on_a_machine_of_our_own
from support.in_child import in_child

pytestmark = pytest.mark.needs_root

ALL_BUT_LIMITS = frozenset(Capability) - {Capability.SYS_RESOURCE}


def cores():
    return resource.getrlimit(resource.RLIMIT_CORE)


@pytest.mark.parametrize(("wanted", "limit"), [(None, 1), (0, 1), (1, 1), (4096, 4096)])
def test_there_are_no_core_files_but_those_that_were_asked_for(wanted, limit):
    def body():
        confine.limit_cores(ProcessLimits(core_bytes=wanted))
        return cores()

    assert in_child(body) == (limit, limit)


def without_the_right(limits):
    """Return the limit of a process whose own was 0 and that may not raise it, and what it was told."""

    def body():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        capabilities.drop_all_except(ALL_BUT_LIMITS)
        try:
            confine.limit_cores(limits)
        except (OSError, ValueError) as error:
            return cores(), str(error)
        return cores(), ""

    return in_child(body)


@pytest.mark.elsewhere("a host that leaves cores as files in the working directory")
@pytest.mark.skipif(not LEAVES_FILES_HERE, reason="crashes are told to a program")
def test_who_may_not_raise_the_limit_keeps_the_0_that_he_has():
    assert without_the_right(ProcessLimits()) == ((0, 0), "")


def test_who_may_not_raise_the_limit_promises_no_core_files():
    limit, said = without_the_right(ProcessLimits(core_bytes=4096))

    assert limit == (0, 0)
    assert said


@on_a_machine_of_our_own
@pytest.mark.invariant("X9")
def test_who_may_not_raise_the_limit_goes_no_further_where_a_program_would_be_told():
    with crashes_told_to_a_program():
        _, said = without_the_right(ProcessLimits())

    assert "crashes would be told to the program of kernel.core_pattern" in said
