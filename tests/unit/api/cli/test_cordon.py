import json
from contextlib import closing

import pytest
from click.shell_completion import ShellComplete

from api.cli.connection import Connection
from api.cli.main import rnx as program
from api.client_watch import wait_for
from api.kinds import JOB, NODE
from api.types.pod import DELETED_PODS_ANNOTATION, deleted_pods
from support.api_server import LiveApi, run_status
from support.objects import a_job

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


# Draining


@pytest.fixture
def running(live, host):
    live.create(JOB, a_job("etl"))
    live.set_status(JOB, "etl", phase="Running", runs=[run_status("Running")])
    live.create(JOB, a_job("over"))
    live.set_status(JOB, "over", phase="Succeeded", runs=[run_status("Ended", exit_code=0)])


def end_of_etl(live):
    """Play the controller: end the run once it is asked for."""
    wait_for(
        live.client, JOB, "default", "etl", timeout_seconds=20,
        until=lambda job: DELETED_PODS_ANNOTATION in job["metadata"].get("annotations", {}),
    )  # fmt: skip
    live.set_status(JOB, "etl", phase="Failed", runs=[run_status("Ended", exit_code=143, reason="PodDeleted")])


def test_draining_cordons_the_host_and_waits_until_its_runs_have_ended(live, running, host, started, rnx):
    draining = started("drain", f"node/{HOST}", "--grace-period=3")
    end_of_etl(live)

    said = draining.ended()
    assert said.out.splitlines() == [
        f"node/{HOST} cordoned", "pod/default/etl-1 deleted", f"node/{HOST} drained"
    ]  # fmt: skip
    assert (said.code, host()) == (0, {"unschedulable": True})
    assert deleted_pods(live.get(JOB, "etl")["metadata"]["annotations"])[1].grace_seconds == 3
    assert rnx("drain").lines == [f"node/{HOST} already cordoned", f"node/{HOST} drained"]


def test_a_rehearsal_says_what_would_end_and_ends_nothing(live, running, host, rnx):
    dry = " (server dry run)"
    assert rnx("drain", "--dry-run").lines == [
        f"node/{HOST} cordoned{dry}", f"pod/default/etl-1 deleted{dry}", f"node/{HOST} drained{dry}"
    ]  # fmt: skip
    assert host() == {}
    assert "annotations" not in live.get(JOB, "etl")["metadata"]


def test_a_run_that_does_not_end_in_time_is_named_and_the_host_stays_cordoned(running, host, rnx):
    said = rnx("drain", "--timeout=50ms")

    assert (said.code, host()) == (4, {"unschedulable": True})
    assert "timed out waiting for pod default/etl-1 to end: the host stays cordoned" in said.err


def test_its_name_is_completed(host, rnx):
    with closing(Connection()) as connection:
        complete = ShellComplete(program, {"obj": connection}, "rnx", "_RNX_COMPLETE")
        offered = complete.get_completions(["cordon"], "te")

    assert [item.value for item in offered] == [HOST]
