"""Joblet's released setup packages, as they are: published in a registry here, installed by the daemon, and judged.

They are not ours to ship: the variable RUNWRIGHT_JOBLET_RUNTIMES names a directory with them, one a directory, or this
is skipped. Their scripts install with the host's apt and pip, and copy from the host; none of that may reach the host.
Of the listing of the host is left out what this machine's own programs write at any time, see `ELSES`.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api import conditions
from api.conditions import Condition
from api.kinds import RUNTIME
from api.meta import Document
from support import host
from support.building import changed, listing
from support.daemon import Daemon, a_daemon

GIVEN = os.environ.get("RUNWRIGHT_JOBLET_RUNTIMES", "")
PACKAGES = ("python-3.11", "python-3.11-ml", "openjdk-21")
COMMANDS = {"python-3.11": ("python", "--version"), "python-3.11-ml": ("python", "-c", "import numpy")} | {
    "openjdk-21": ("java", "-version")
}
PLACES = ("/usr", "/etc", "/opt", "/var/lib/dpkg", "/root")
RUNTIMES = "/opt/joblet/runtimes"
ELSES = (RUNTIMES, "/root/.cache")
"""The runtimes of this host, if it has any, and caches that other programs keep: no test may fail over those."""
BUILD_SECONDS = 1200
MISSING = re.compile(r"(?P<file>/\S+) needs (?P<library>\S+), which is not in the runtime")

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.elsewhere("hosts that have Joblet's released packages, in RUNWRIGHT_JOBLET_RUNTIMES"),
    pytest.mark.skipif(not GIVEN, reason="RUNWRIGHT_JOBLET_RUNTIMES names no directory of Joblet's released packages"),
]


@dataclass(frozen=True, slots=True)
class Installed:
    """What became of the packages, in a daemon that still runs, and what else changed on the host."""

    daemon: Daemon
    statuses: dict[str, Document]
    changed: list[str]

    def condition(self, name: str, kind: str) -> Condition:
        found = [Condition.model_validate(each) for each in self.statuses[name].get("conditions", ())]
        condition = conditions.find(found, kind)
        assert condition is not None, self.statuses[name]
        return condition

    def log(self, name: str) -> str:
        return self.daemon.rnx("runtime", "logs", name).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Iterator[Installed]:
    before_on_host = host.snapshot()
    registry = tmp_path_factory.mktemp("registry")
    with a_daemon() as daemon:
        before = listing(*PLACES, content=True, skip=ELSES)
        statuses = {name: _install(daemon, name, registry) for name in PACKAGES}
        after = listing(*PLACES, content=True, skip=ELSES)
        yield Installed(daemon, statuses, changed(before, after))
    host.assert_as_before(before_on_host)


def _install(daemon: Daemon, name: str, registry: Path) -> Document:
    for arguments in (
        ("publish", str(Path(GIVEN) / name), "--registry-dir", str(registry)),
        ("install", name, "--registry", f"file://{registry}", "--wait=false"),
    ):
        done = daemon.rnx("runtime", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def settled() -> Document | None:
        status = daemon.get(RUNTIME, name).get("status", {})
        found = [Condition.model_validate(each) for each in status.get("conditions", ())]
        ready = conditions.find(found, "Ready")
        judged = ready is not None and (ready.status == "True" or ready.reason in ("BuildFailed", "Unhealthy"))
        return status if judged else None

    found: Document = daemon.until(f"{name} is judged", settled, BUILD_SECONDS, every=0.2)
    return found


def test_the_host_is_byte_for_byte_what_it_was(installed):
    assert [path for path in installed.changed if "__pycache__" not in path] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_each_is_ready_or_says_in_its_scripts_words_or_by_file_and_library_what_is_wrong(installed, name):
    ready, log = installed.condition(name, "Ready"), installed.log(name)

    assert len(log.splitlines()) > 20
    if ready.reason == "BuildFailed":
        assert any(line.strip() and line.strip() in ready.message for line in log.splitlines()[-20:]), ready.message
    elif ready.reason == "Unhealthy":
        assert "ended with exit code 0" in log
        assert MISSING.search(ready.message) or name in ready.message
    else:
        assert ready.status == "True"


@pytest.mark.parametrize("name", PACKAGES)
def test_its_health_is_the_truth(installed, name):
    """What works runs, and what is said not to does not; of what is not healthy, each library that is said to be missing is nowhere it is looked for."""
    status = installed.statuses[name]
    if installed.condition(name, "Ready").reason == "BuildFailed":
        assert all(version["state"] != "Installed" for version in status.get("versions", ()))
        return
    [version] = status["versions"]
    healthy = installed.condition(name, "Healthy").status == "True"
    assert healthy == (version["health"] == "Healthy")
    assert (installed.daemon.rnx("runtime", "test", name).returncode == 0) == healthy

    works = version["health"] in ("Healthy", "Degraded")
    asked = name if works else f"{name}@{version['version']}"  # What does not work is had by its exact version only.
    done = installed.daemon.rnx("job", "run", f"--runtime={asked}", *COMMANDS[name])
    assert (done.returncode == 0) == works, done.stdout + done.stderr
    tree = Path(version["path"])
    for missing in MISSING.finditer(version["healthMessage"]):
        beside = [path for path in tree.rglob(missing["library"]) if path.parent.name == "x86_64-linux-gnu"]
        assert [path for path in beside if path.exists()] == [], missing[0]
