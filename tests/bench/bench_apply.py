"""How long a job takes through the whole system, beside a bare launch, interleaved in one run.

    python tests/bench/bench_apply.py [ROUNDS]

apply → running and apply → complete are seen by a watching client of the real daemon, over its HTTP API, with
every write durable. The bare launch is the daemon's own launcher asked directly. The job is `true`, in the host's directories.
"""

import contextlib
import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from api.client_transport import Unreachable  # noqa: E402
from api.client_watch import Watch  # noqa: E402
from api.kinds import JOB  # noqa: E402
from controller.cgroup import choose  # noqa: E402
from controller.launcher.client import LauncherClient  # noqa: E402
from support.builders import a_job_document  # noqa: E402
from support.daemon import Daemon, a_daemon  # noqa: E402
from support.launching import Launching, wait_for_end  # noqa: E402

DEFAULT_ROUNDS = 100
WARM_UP = 10
GOAL = 4.0


class Seen:
    """When a watching client first saw each job in each phase."""

    def __init__(self, daemon: Daemon) -> None:
        self._moments: dict[tuple[str, str], float] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._follow, args=(Watch(daemon.client, JOB, "default"),), daemon=True).start()

    def _follow(self, watch: Watch) -> None:
        with contextlib.suppress(Unreachable):  # The daemon ends before us.
            self._note(watch)

    def _note(self, watch: Watch) -> None:
        for event in watch:
            now = time.perf_counter()
            status = event.document.get("status", {})
            phases = {str(status.get("phase"))} | ({"Running"} if status.get("startTime") else set())
            with self._changed:
                for phase in phases:
                    self._moments.setdefault((event.document["metadata"]["name"], phase), now)
                self._changed.notify_all()

    def when(self, name: str, phase: str) -> float:
        with self._changed:
            if not self._changed.wait_for(lambda: (name, phase) in self._moments, 10):
                raise SystemExit(f"{name} was not {phase} within 10 s")
            return self._moments[name, phase]


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_ROUNDS
    times: dict[str, list[float]] = {"launch": [], "apply → running": [], "apply → complete": []}
    with a_daemon() as daemon:
        (daemon.root / "bare").mkdir()
        launching = Launching(daemon.root / "bare")
        launching.client = LauncherClient(
            daemon.root / "run/runwright/launcher.sock", daemon.root / "run/runwright/slots", daemon.log
        )
        seen = Seen(daemon)
        for number in range(WARM_UP + rounds):
            taken = {"launch": bare_launch(launching), **through_the_system(daemon, seen, f"true-{number}")}
            if number >= WARM_UP:
                for name, seconds in taken.items():
                    times[name].append(seconds * 1000)
        launching.client.close()
        remove_cgroups(launching.cgroup_parent)
    report(times, rounds)
    return 0


def bare_launch(launching: Launching) -> float:
    spec = launching.spec("/bin/true")
    before = time.perf_counter()
    launching.client.start(spec)
    wait_for_end(Path(spec.run_dir))
    return time.perf_counter() - before


def remove_cgroups(parent: str) -> None:
    cgroups = choose.open_lifecycle(choose.hierarchies_of_host(), parent)
    for name in cgroups.names():
        cgroups.kill(name)
        cgroups.remove(name)
    cgroups.remove_parent()


def through_the_system(daemon: Daemon, seen: Seen, name: str) -> dict[str, float]:
    document = a_job_document(name, command=["/bin/true"])
    before = time.perf_counter()
    daemon.client.apply(JOB, "default", document)
    complete = seen.when(name, "Succeeded")
    running = seen.when(name, "Running")
    return {"apply → running": running - before, "apply → complete": complete - before}


def report(times: dict[str, list[float]], rounds: int) -> None:
    print(f"{rounds} jobs of a `true`, each beside a bare launch; milliseconds")
    print("                     p10   median      p90   median / launch")
    base = statistics.median(times["launch"])
    for name, taken in times.items():
        p10, *_, p90 = statistics.quantiles(taken, n=10)
        median = statistics.median(taken)
        print(f"{name:18} {p10:6.2f}  {median:7.2f}  {p90:7.2f}  {median / base:14.2f}")
    print(f"goal: apply → complete at most {GOAL:g} × the launch")


if __name__ == "__main__":
    sys.exit(main())
