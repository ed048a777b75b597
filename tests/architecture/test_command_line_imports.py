"""`rnx` starts fast because it imports little; and it never reaches below the client."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BELOW = {"sqlalchemy", "sqlmodel", "sqlite3", "starlette", "uvicorn", "watchdog", "state", "controller", "api.http"}


def loaded_by(statement: str) -> set[str]:
    script = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_help_imports_no_command_no_client_and_no_types():
    loaded = loaded_by("from api.cli.main import run; run(['--help'])")

    assert loaded & {"httpx", "pydantic", "yaml", "rich", "api.client", "api.kinds", "api.cli.get"} == set()


@pytest.mark.parametrize("module", ["get", "apply", "job", "job_run", "follow", "runtime_install", "logs", "wait"])
def test_a_command_imports_nothing_below_the_client(module):
    assert loaded_by(f"import api.cli.{module}") & BELOW == set()
