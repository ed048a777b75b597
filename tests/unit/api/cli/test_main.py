"""What a command of `rnx` imports when it runs: the types of kinds cost more than all the rest of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.kinds import JOB
from support.objects import a_job

PROJECT = Path(__file__).parents[4]
SAYS_WHAT_IT_IMPORTED = """
import atexit, sys
atexit.register(lambda: print(*sorted(name for name, module in sys.modules.items() if module), file=sys.stderr))
from api.cli.main import main
main()
"""


def imported_by(live, *words):
    environment = os.environ | {"RUNWRIGHT_ROOT": str(live.directory)}
    command = [sys.executable, "-c", SAYS_WHAT_IT_IMPORTED, *words]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    return done.stdout or done.stderr, set(done.stderr.splitlines()[-1].split())


def types_among(modules):
    return {name for name in modules if name.startswith("api.types.")}


@pytest.mark.parametrize(
    "words", [["get", "jobs"], ["get", "jobs,runtimes,nodes", "-o", "wide"], ["get", "job/etl", "-o", "yaml"], ["job", "list"]]
)  # fmt: skip
def test_a_list_is_shown_without_the_types_of_what_is_in_it(live, words):
    live.create(JOB, a_job("etl"))

    out, modules = imported_by(live, *words)

    assert "etl" in out
    assert types_among(modules) == set()
    assert modules & {"pydantic", "api.model"} == set()


def test_a_command_that_needs_the_type_of_one_kind_imports_that_of_no_other(live):
    out, modules = imported_by(live, "wait", "volume/data", "--for", "condition=Nothing")

    assert 'a volume has no condition "Nothing"' in out
    assert "api.types.volume" in modules
    assert types_among(modules) & {f"api.types.{name}" for name in ("workflow", "runtime", "job", "rbac")} == set()


def test_the_command_line_that_httpx_has_is_left_out(live):
    _, modules = imported_by(live, "get", "jobs")

    assert modules & {"httpx", "httpx._main", "rich", "pygments"} == {"httpx"}
