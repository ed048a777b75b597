"""`rnx monitor` on the real API, whose host says what a test's host says."""

import json

from api.kinds import JOB
from support.objects import a_job


def test_the_status_has_what_the_host_has_and_uses(rnx, live):
    live.create(JOB, a_job("etl"))

    said = rnx("monitor", "status")

    assert said.code == 0
    rows = dict(line.split(None, 1) for line in said.lines[1:])
    assert rows == {
        "CPU": f"0.50 of {live.host.node()['status']['capacity']['cpu']} cores", "MEMORY": "3.0 MiB of 8.0 MiB",
        "DISK": "1.0 GiB of 4.0 GiB", "NETWORK": "3 B received, 4 B sent", "IO": "1 B read, 2 B written",
        "PROCESS": "77", "JOBS": "1 Pending",
    }  # fmt: skip


def test_a_host_that_begins_no_run_is_said_to_be_cordoned(rnx):
    rnx("cordon")
    closed = rnx("monitor", "status").lines[0]
    rnx("uncordon")

    assert closed.startswith("testhost: ready, cordoned, up ")
    assert rnx("monitor", "status").lines[0].startswith("testhost: ready, up ")


def test_parts_are_chosen_and_unknown_ones_refused(rnx):
    assert [line.split()[0] for line in rnx("monitor", "status", "--filter", "memory,cpu").lines[1:]] == [
        "MEMORY", "CPU"
    ]  # fmt: skip
    said = rnx("monitor", "status", "--filter=gpu")
    assert (said.code, "there is no gpu: use cpu, memory" in said.err) == (2, True)


def test_json_has_the_node_its_usage_and_the_jobs(rnx):
    found = json.loads(rnx("monitor", "status", "--json").out)

    assert (found["node"]["kind"], found["usage"]["runwright"]["processes"], found["jobs"]) == ("Node", 77, {})


def test_a_watch_prints_a_line_for_each_look_until_it_is_interrupted(started):
    watching = started("monitor", "watch", "--compact", "--interval=0.1s", "--filter=process")

    assert [watching.line(), watching.line()] == ["process 77\n"] * 2
    assert watching.interrupted().code == 130
