import pytest

from api import crd
from api.kinds import NODE
from controller.daemon.allocatable import HostAmounts
from controller.daemon.host import Host
from controller.daemon.node import NodeReport
from controller.daemon.settings import Settings
from support.declared import undeclared
from support.hand_clock import HandClock

HOST = Host("host-1", "x86_64", (6, 1), "boot", 8 << 30, cpus=4, pids=1000)


def report(tmp_path, problem="", used_percent=100.0):
    return NodeReport(HOST, HandClock(), tmp_path, amounts(tmp_path), used_percent, lambda: problem)


def amounts(tmp_path, **queue):
    settings = Settings.model_validate({"queue": queue})
    return HostAmounts(HOST, settings, tmp_path, lambda: {"nvidia.com/gpu": 2})


def conditions(node):
    return {condition["type"]: condition for condition in node["status"]["conditions"]}


def test_a_node_says_what_the_host_has(tmp_path):
    node = report(tmp_path).node()

    assert (node["metadata"]["name"], node["metadata"]["labels"]["kubernetes.io/arch"]) == ("host-1", "amd64")
    assert node["status"]["capacity"]["cpu"] == "4"
    assert node["status"]["capacity"]["memory"] == "8388608Ki"
    assert node["status"]["allocatable"]["pods"] == "1500"
    assert all(node["status"]["nodeInfo"][name] for name in ("kernelVersion", "osImage", "bootID", "machineID"))


def test_a_node_says_what_can_be_promised_to_runs(tmp_path):
    of_node = NodeReport(
        HOST, HandClock(), tmp_path, amounts(tmp_path, reserved_cpu="500m", reserved_memory="1Gi"), 100.0, lambda: ""
    )
    status = of_node.node()["status"]

    assert status["allocatable"]["cpu"] == "3500m"
    assert status["allocatable"]["memory"] == f"{7 << 20}Ki"
    assert (status["capacity"]["nvidia.com/gpu"], status["allocatable"]["nvidia.com/gpu"]) == ("2", "2")
    storage = [int(status[of]["ephemeral-storage"].removesuffix("Ki")) for of in ("capacity", "allocatable")]
    assert storage[1] == pytest.approx(storage[0] * 0.9, rel=0.01)


def test_runs_are_promised_no_more_than_all_of_them_may_use(tmp_path):
    settings = Settings.model_validate({"cgroup": {"memory": "2Gi", "cpu": "50%"}})

    assert HostAmounts(HOST, settings, tmp_path).for_runs() | {"ephemeral-storage": 0} == {
        "cpu": 2000, "memory": 2 << 30, "pods": 1500, "ephemeral-storage": 0
    }  # fmt: skip


def test_a_node_is_ready_until_runs_cannot_be_started(tmp_path):
    assert conditions(report(tmp_path).node())["Ready"]["status"] == "True"

    ready = conditions(report(tmp_path, "there are no cgroups").node())["Ready"]
    assert (ready["status"], ready["message"]) == ("False", "there are no cgroups")


def test_a_full_disk_is_pressure(tmp_path):
    assert conditions(report(tmp_path).node())["DiskPressure"]["status"] == "False"
    assert conditions(report(tmp_path, used_percent=-1.0).node())["DiskPressure"]["reason"] == "HasInsufficientDisk"


def test_a_condition_remembers_since_when_it_holds(tmp_path):
    problems = ["", "", "broken"]
    clock = HandClock()
    node = NodeReport(HOST, clock, tmp_path, amounts(tmp_path), 100.0, lambda: problems.pop(0))
    first = conditions(node.node())["Ready"]
    clock.advance(60)
    second = conditions(node.node())["Ready"]
    third = conditions(node.node())["Ready"]

    assert first["lastTransitionTime"] == second["lastTransitionTime"] != second["lastHeartbeatTime"]
    assert third["lastTransitionTime"] == third["lastHeartbeatTime"]


def test_all_that_a_node_shows_is_described(tmp_path):
    assert list(undeclared(crd.schema_of(NODE), report(tmp_path).node())) == []
