"""What `rnx exec`, `attach`, `cp` and `top` refuse and show before they reach a run; runs themselves are in tests/e2e."""

import pytest

from api.kinds import JOB
from api.ports import RunUsage
from support.api_server import run_status
from support.objects import a_job

MIB = 1 << 20


@pytest.fixture
def ended(live):
    live.create(JOB, a_job("etl"))
    live.set_status(JOB, "etl", phase="Failed", runs=[run_status("Ended", exit_code=1, reason="Error")])


@pytest.mark.parametrize(
    "command", [("exec", "etl", "--", "true"), ("attach", "etl"), ("cp", "etl:/work", "/tmp/none")]
)
def test_a_job_that_is_not_running_is_not_gone_into(rnx, ended, command):
    said = rnx(*command)

    assert (said.code, "cannot go into job etl: its run is not running (Failed)" in said.err) == (1, True)


@pytest.mark.parametrize("command", [("exec", "none", "--", "true"), ("attach", "job/none"), ("cp", "none:/x", ".")])
def test_a_job_that_is_not_there_is_not_found(rnx, live, command):
    said = rnx(*command)

    assert (said.code, 'jobs.runwright.dev "none" not found' in said.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("exec", "etl"), "Missing argument"),
        (("exec", "runtime/x", "--", "true"), "nothing runs in a runtime"),
        (("cp", "a", "b"), "one of SOURCE and TARGET must be in a job"),
        (("cp", "etl:/a", "etl:/b"), "one of SOURCE and TARGET must be in a job"),
        (("cp", "./etl:/a", "b"), "one of SOURCE and TARGET must be in a job"),
        (("cp", "etl:/a"), "Missing argument"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(rnx, ended, arguments, cause):
    said = rnx(*arguments)

    assert (said.code, cause in said.err) == (2, True)


def test_top_shows_a_row_a_run_and_a_dash_for_what_is_not_counted(rnx, live):
    live.host.used = [RunUsage("default", "etl", 2, 10.0, 5.0, 3 * MIB, None, 7, 2048, None)]

    head, row = rnx("top").lines

    assert head.split()[:2] == ["NAME", "CPU(cores)"]
    assert row.split() == ["etl-2", "0.50", "3.0Mi", "-", "7", "2.0Ki", "-", "-", "-"]


def test_top_of_all_namespaces_names_them(rnx, live):
    live.host.used = [RunUsage(space, "etl", 1, 10.0, 0.0, MIB, MIB, 1) for space in ("default", "elsewhere")]

    assert [line.split()[0] for line in rnx("top", "-A").lines] == ["NAMESPACE", "default", "elsewhere"]
    assert len(rnx("top").lines) == 2


def test_top_without_running_jobs_says_so(rnx, live):
    live.host.used = []

    said = rnx("top")

    assert (said.code, said.out, "No running jobs" in said.err) == (0, "", True)
