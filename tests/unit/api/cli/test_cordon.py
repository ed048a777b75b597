import json
from contextlib import closing

import pytest
from click.shell_completion import ShellComplete

from api.cli.connection import Connection
from api.cli.main import rnx as program
from api.kinds import NODE
from support.api_server import LiveApi

HOST = "testhost"


@pytest.fixture
def host(live: LiveApi, rnx):
    yield lambda: live.get(NODE, HOST)["spec"]
    rnx("uncordon")


def test_a_host_is_cordoned_and_uncordoned_in_kubectls_words(host, rnx):
    assert rnx("cordon", HOST).lines == [f"node/{HOST} cordoned"]
    assert host() == {"unschedulable": True}

    assert rnx("uncordon", f"node/{HOST}").lines == [f"node/{HOST} uncordoned"]
    assert host() == {}


def test_it_is_safe_to_repeat_and_the_one_node_need_not_be_named(host, rnx):
    assert rnx("uncordon").lines == [f"node/{HOST} already uncordoned"]
    assert rnx("cordon").lines == [f"node/{HOST} cordoned"]
    assert rnx("cordon").lines == [f"node/{HOST} already cordoned"]
    assert host() == {"unschedulable": True}


@pytest.mark.parametrize("command", ["cordon", "uncordon"])
def test_no_other_node_is_meant(host, rnx, command):
    said = rnx(command, "other")

    assert (said.code, said.err) == (1, 'Error from server (NotFound): nodes "other" not found\n')


def test_an_empty_name_is_not_the_one_node(host, rnx):
    said = rnx("cordon", "")

    assert (said.code, "a name is empty" in said.err, host()) == (2, True, {})


def test_what_closes_a_host_can_be_read_by_programs(host, rnx):
    assert json.loads(rnx("cordon", "--json").out)["spec"] == {"unschedulable": True}
    assert json.loads(rnx("cordon", "--json").out)["spec"] == {"unschedulable": True}
    assert json.loads(rnx("uncordon", "--json").out)["spec"] == {}


def test_its_name_is_completed(host, rnx):
    with closing(Connection()) as connection:
        complete = ShellComplete(program, {"obj": connection}, "rnx", "_RNX_COMPLETE")
        offered = complete.get_completions(["cordon"], "te")

    assert [item.value for item in offered] == [HOST]
