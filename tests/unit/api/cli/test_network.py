"""`rnx network` on the real API; the tests play the controller."""

import threading
from contextlib import contextmanager

import pytest

from api.client_watch import wait_for
from api.kinds import NETWORK
from api.meta import API_VERSION
from support.api_server import condition_of


@contextmanager
def a_controller(live, name, *conditions):
    """Report `conditions` of a network as soon as it is there."""

    def report():
        wait_for(live.client, NETWORK, "default", name, until=bool, timeout_seconds=20)
        live.set_status(NETWORK, name, conditions=list(conditions))

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)


def test_a_network_is_waited_for_until_jobs_can_be_in_it(rnx, live):
    with a_controller(live, "db", condition_of("Ready", "Connected")):
        said = rnx("network", "create", "db", "--cidr=10.10.0.0/24")

    assert (said.code, said.out) == (0, "db\n")


def test_a_network_that_the_host_refuses_is_an_error_which_says_that_it_is_there(rnx, live):
    with a_controller(live, "n", condition_of("Ready", "Forbidden", "cannot use 192.0.2.0/24", "False")):
        said = rnx("network", "create", "n", "--cidr=192.0.2.0/24")

    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "error: network/n was made, and cannot be used so far: Forbidden: cannot use 192.0.2.0/24: it stays: "
        "rnx delete network n removes it\n"
    )


def test_a_network_that_does_not_come_in_time_is_exit_code_4(rnx, live):
    with a_controller(live, "n", condition_of("Ready", "RepairFailed", "not now", "False")):
        said = rnx("network", "create", "n", "--timeout=300ms")

    assert (said.code, "network/n was made, and not ready in time" in said.err) == (4, True)


@pytest.mark.parametrize("name", ["web", "bridge", "isolated"])
def test_what_is_built_in_is_not_replaced_unasked(rnx, live, name):
    said = rnx("network", "create", name)

    assert (said.code, f'"{name}" is built in' in said.err) == (2, True)
    assert live.client.list(NETWORK, "default")["items"] == []


def test_what_is_built_in_stays_what_it_is_but_for_what_is_said(rnx, live):
    with a_controller(live, "isolated", condition_of("Ready", "Connected")):
        assert rnx("network", "create", "isolated", "--egress=any:443").code == 0

    assert live.get(NETWORK, "isolated")["spec"] == {"egress": ["any:443"], "peers": False}


@pytest.fixture
def held(live):
    document = {"apiVersion": API_VERSION, "kind": "Network", "metadata": {"name": "web1"}, "spec": {}}
    live.create(NETWORK, document, held=True)
    return live


def test_a_network_that_runs_are_in_is_removed_with_whose_runs_they_are(held, started):
    removing = started("network", "remove", "web1")
    assert removing.line() == 'network.runwright.dev "web1" deleted\n'

    why = "runs are in it: job/default/srv: it goes with the last of them"
    held.set_status(NETWORK, "web1", conditions=[condition_of("Ready", "InUse", why, "False")])
    assert removing.error_line() == f"waiting for network.runwright.dev/web1 to be gone: {why}\n"
    held.let_go(NETWORK, "web1")

    assert removing.ended().code == 0


def test_the_removal_need_not_be_waited_for(rnx, held):
    assert rnx("network", "remove", "web1", "--timeout=100ms").code == 4
    assert rnx("network", "remove", "web1", "--wait=false").code == 0
