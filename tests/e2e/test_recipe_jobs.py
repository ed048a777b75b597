"""Recipes through a real daemon: declared, built, run in; failed, with a log; cut off, and built after all."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.kinds import RUNTIME
from support.building import a_recipe
from support.runtime_place import HERE, Place, a_place

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

A_SHELL = r"""
tree=/opt/joblet/runtimes/$RUNTIME_NAME
mkdir -p $tree/isolated/bin $tree/isolated/etc
for program in sh cat ls; do
    cp -L /bin/$program $tree/isolated/bin/
    ldd /bin/$program | grep -o '/[^ ]*' | while read library; do
        mkdir -p $tree/isolated/$(dirname $library)
        cp -L $library $tree/isolated/$library
    done
done
echo "$RUNTIME_NAME@$RUNTIME_VERSION" > $tree/isolated/etc/version
cat > $tree/runtime.yml <<END
name: $RUNTIME_NAME
version: "$RUNTIME_VERSION"
mounts:
  - {source: isolated/bin, target: /bin}
  - {source: isolated/lib, target: /lib}
  - {source: isolated/lib64, target: /lib64}
  - {source: isolated/etc, target: /etc}
END
echo it is made
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("registry")) as place:
        yield place


def test_a_job_runs_in_what_a_recipe_made(place, tmp_path):
    package = a_recipe(tmp_path / "made", A_SHELL, f"setup-{HERE}.sh")
    place.declare(RUNTIME, "made", recipe={"url": str(package)}, versions=["2.0.0"])
    place.ready("made")

    assert place.output("in-made", "cat /etc/version; ls /bin", runtime="made") == "made@2.0.0\ncat\nls\nsh\n"
    assert place.daemon.rnx("runtime", "logs", "made").stdout.splitlines()[-2:] == [
        "it is made",
        "runwright: it ended with exit code 0",
    ]


def test_a_recipe_that_fails_says_why_in_its_own_words(place, tmp_path):
    package = a_recipe(tmp_path / "bad", "echo compiling; echo 'no such compiler' >&2; exit 4")
    place.declare(RUNTIME, "bad", recipe={"url": str(package)}, versions=["1.0.0"])

    message = place.ready("bad", "BuildFailed")["message"]

    assert "ended with status 4: compiling | no such compiler" in message
    assert place.daemon.rnx("runtime", "logs", "bad").stdout.splitlines()[1:3] == ["compiling", "no such compiler"]


def test_a_recipe_that_was_cut_off_is_built_by_the_next_daemon(place, tmp_path):
    package = a_recipe(tmp_path / "cut", f"test -f once || {{ touch once; sleep 7781; }}\n{A_SHELL}")
    place.declare(RUNTIME, "cut", recipe={"url": str(package)}, versions=["1.0.0"])
    place.daemon.until("the build sleeps", lambda: _sleeping("7781"))

    os.kill(place.daemon.pid, signal.SIGKILL)
    place.daemon.wait_daemon()
    place.daemon.until("the build has ended", lambda: not _sleeping("7781"))
    (package / "once").touch()
    place.daemon.start()
    place.ready("cut")

    assert place.output("in-cut", "cat /etc/version", runtime="cut") == "cut@1.0.0\n"


def _sleeping(mark: str) -> bool:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes() == f"sleep\0{mark}\0".encode():
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False
