"""The documents' own commands, typed into a shell as they stand there, and the example runtimes that they are run in."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from api import conditions
from api.conditions import Condition
from api.kinds import RUNTIME
from api.meta import Document
from support import host
from support.daemon import RNX, Daemon, a_daemon

EXAMPLES = Path(__file__).parents[2] / "examples/runtimes"
BUILD_SECONDS = 900
COMMAND_SECONDS = 300


@contextmanager
def a_daemon_with(*examples: str, name: str = "") -> Iterator[Daemon]:
    """A daemon that has built these examples; afterwards the host is as it was."""
    before = host.snapshot()
    with a_daemon("runtime.default_registry=") as daemon:
        for example in examples:
            build(daemon, example, name)
        yield daemon
    host.assert_as_before(before)


def build(daemon: Daemon, example: str, name: str = "") -> str:
    """Build an example, called `name` if that is given, and wait until it is ready; return what it is called.

    A manifest is applied, and a recipe, which is a directory, given to `rnx runtime build`.
    """
    path = EXAMPLES / example
    if path.is_dir():
        argv = [str(RNX), "--root", str(daemon.root), "runtime", "build", str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return example
    document = yaml.safe_load(path.with_suffix(".yaml").read_text())
    name = name or str(document["metadata"]["name"])
    document["metadata"]["name"] = name
    applied = daemon.rnx("apply", "-f", "-", stdin=yaml.safe_dump(document))
    assert applied.returncode == 0, applied.stderr

    def settled() -> Document | None:
        status = daemon.get(RUNTIME, name).get("status", {})
        found = [Condition.model_validate(each) for each in status.get("conditions", ())]
        ready = conditions.find(found, "Ready")
        if ready is not None and ready.reason in ("BuildFailed", "Unhealthy"):
            raise AssertionError(ready.message)
        return status if ready is not None and ready.status == "True" else None

    daemon.until(f"{name} is built", settled, BUILD_SECONDS, every=0.2)
    return name


def typed(daemon: Daemon, directory: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Type a command of the documents into a shell in `directory`, whose `rnx` speaks to this daemon."""
    environment = {
        **os.environ,
        "PATH": f"{RNX.parent}:{os.environ['PATH']}",
        "RUNWRIGHT_ROOT": str(daemon.root),
        "NO_COLOR": "1",
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def printed(daemon: Daemon, directory: Path, command: str) -> str:
    """Type a command of the documents; return what it printed, after it has ended well."""
    done = typed(daemon, directory, command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def without(flags: tuple[str, ...], command: str) -> str:
    """Return a command without these flags, each of which is a line's own part of it."""
    for flag in flags:
        assert command.count(flag) == 1, (flag, command)
        command = command.replace(flag, "")
    return command
