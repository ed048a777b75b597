from controller.daemon.host import Host
from controller.daemon.node import NodeReport
from support.hand_clock import HandClock

HOST = Host("host-1", "x86_64", (6, 1), "boot", 8 << 30)


def report(tmp_path, problem="", used_percent=100.0):
    return NodeReport(HOST, HandClock(), tmp_path, 200, used_percent, lambda: problem)


def conditions(node):
    return {condition["type"]: condition for condition in node["status"]["conditions"]}


def test_a_node_says_what_the_host_has(tmp_path):
    node = report(tmp_path).node()

    assert (node["metadata"]["name"], node["metadata"]["labels"]["kubernetes.io/arch"]) == ("host-1", "amd64")
    assert node["status"]["capacity"]["memory"] == "8388608Ki"
    assert node["status"]["allocatable"]["pods"] == "200"
    assert all(node["status"]["nodeInfo"][name] for name in ("kernelVersion", "osImage", "bootID", "machineID"))


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
    node = NodeReport(HOST, clock, tmp_path, 1, 100.0, lambda: problems.pop(0))
    first = conditions(node.node())["Ready"]
    clock.advance(60)
    second = conditions(node.node())["Ready"]
    third = conditions(node.node())["Ready"]

    assert first["lastTransitionTime"] == second["lastTransitionTime"] != second["lastHeartbeatTime"]
    assert third["lastTransitionTime"] == third["lastHeartbeatTime"]
