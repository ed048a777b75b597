"""The documentation is true: every command on its pages is run, and prints what it says."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import doc_runner
from support.daemon import a_daemon
from support.networked import a_networked_daemon

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-job.md"
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))
WITH_DEVICES = "give-a-job-gpus"
"""Runs share the host's devices with those of other tests, which say who has them."""

pytestmark = [pytest.mark.needs_root, pytest.mark.usefixtures("host_is_clean")]


@contextmanager
def a_shell(environment: dict[str, str]) -> Iterator[doc_runner.Shell]:
    """A shell in a directory with a short name, as a socket's path may not be long; all that it started ends."""
    directory = Path(tempfile.mkdtemp(prefix="rwdoc."))
    programs = Path(sys.executable).parent
    shell = doc_runner.Shell(
        directory, {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", **environment}
    )
    try:
        yield shell
    finally:
        shell.close()
        if (directory / "trial").is_dir():  # A page that failed half-way has not cleaned up.
            subprocess.run([programs / "runwrightd", "--root", directory / "trial", "--clean"], check=False)
        shutil.rmtree(directory)


@pytest.mark.beside
def test_the_tutorial_does_what_it_says():
    with a_shell({}) as shell:
        assert doc_runner.check(TUTORIAL, shell) > 20


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[] if page.stem == WITH_DEVICES else pytest.mark.beside)
        for page in HOW_TO
    ],
)
def test_a_how_to_does_what_it_says(page):
    if not any(isinstance(item, doc_runner.Command) for item in doc_runner.parse(page.read_text())):
        assert "```sh" in page.read_text()
        return
    has_networks = "--network" in page.read_text()
    with (
        a_networked_daemon() if has_networks else a_daemon() as daemon,
        a_shell({"RUNWRIGHT_ROOT": str(daemon.root)}) as shell,
    ):
        assert doc_runner.check(page, shell) > 0


def test_the_metrics_page_lists_what_a_daemon_exports():
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    with a_daemon() as daemon:
        text = daemon.client.transport.text("/metrics")

    exported = {name for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE) if not name.endswith("_created")}
    assert exported == documented
