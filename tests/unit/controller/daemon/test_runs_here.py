"""What the parts of runs mean together; that they are the right ones is what every run of the daemon's tests holds."""

import pytest

from controller.daemon import host
from controller.daemon.held_together import HeldTogether
from controller.daemon.probing import RuntimeProber
from controller.daemon.runs_here import RunsHere
from controller.daemon.settings import CgroupSettings


def the_parts(unenforceable=""):
    return RunsHere(None, None, None, unenforceable, HeldTogether(None, CgroupSettings(), host.look()), None)


@pytest.mark.parametrize(("why", "made"), [("", RuntimeProber), ("no cgroups here", type(None))])
def test_a_runtime_is_tried_only_where_runs_can_be_held_to_their_limits(why, made):
    assert type(the_parts(why).prober()) is made
