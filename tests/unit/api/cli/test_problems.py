"""How failures of the output end: a full disk, a closed stream."""

import subprocess
import sys
from pathlib import Path

import pytest

from api.kinds import JOB
from support.api_server import condition_of, run_status
from support.objects import a_job

PROJECT = Path(__file__).parents[4]


def _rnx(live, redirection, *arguments):
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "api.cli.main", *arguments]
    environment = {"RUNWRIGHT_ROOT": str(live.directory), "PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=PROJECT, timeout=60)


@pytest.fixture
def logged(live):
    live.create(JOB, a_job("x1"))
    live.set_status(
        JOB, "x1", phase="Succeeded", runs=[run_status("Ended", exit_code=0)], conditions=[condition_of("Complete")]
    )
    live.write_log("x1", 1, "stdout hello")
    return live


@pytest.mark.parametrize("arguments", [["--help"], ["get", "jobs"], ["logs", "x1"], ["get", "jobs", "-o", "json"]])
def test_a_full_disk_is_said_in_one_line(logged, arguments):
    ended = _rnx(logged, ">/dev/full", *arguments)

    assert (ended.returncode, ended.stderr) == (1, "error: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("arguments", [["--help"], ["get", "jobs"], ["logs", "x1"], ["logs", "-f", "x1"]])
def test_a_closed_output_is_said_in_one_line(logged, arguments):
    ended = _rnx(logged, ">&-", *arguments)

    assert (ended.returncode, ended.stderr) == (1, "error: cannot write the output: Bad file descriptor\n")


def test_a_closed_input_is_an_empty_one_and_closed_errors_are_nobodys(logged):
    nothing, refused = _rnx(logged, "<&-", "apply", "-f", "-"), _rnx(logged, "2>&-", "get", "job", "none")

    assert (nothing.returncode, nothing.stderr) == (1, "error: nothing to apply: the files hold no objects\n")
    assert (refused.returncode, refused.stdout) == (1, "")
