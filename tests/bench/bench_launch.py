"""How long a launch takes beside others', interleaved in one run: start asked for → end seen, as the controller sees it.

    python tests/bench/bench_launch.py [--rounds N] [--leaks N] [--picture FILE.svg]

Ours: all namespaces, cgroup limits, seccomp, log, durable claim and exit record. What the others do is said beside
them. The program is a static `true` where there is a C compiler. Four ways to ask: one at a time, when all is quiet;
20 a second; back to back; and 8 in flight. Then memory of running jobs, and what many launches leave on the host.
"""

import argparse
import os
import select
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench import launch_costs, launch_peers, launch_picture  # noqa: E402
from bench.launch_costs import Meter  # noqa: E402
from bench.launch_peers import PROGRAM, Absent, Contender, Place  # noqa: E402
from controller.launcher import records  # noqa: E402
from controller.launcher.server import WARM  # noqa: E402
from controller.sandbox.spec import Bind  # noqa: E402
from support.launching import Launching, host_sandbox, wait_for_end  # noqa: E402

OURS = "runwright"
QUICK = (OURS, "C floor", "bwrap", "plain")
WARM_UP = 10
BLOCK = 20
PACE_SECONDS = 0.05
IN_FLIGHT = 8
SETTLED_SECONDS = 0.2  # Who is ready makes what was asked for last, and rehearses after 0.05 s of quiet.
SLEEPERS = 8


class Figures:
    """What was measured one way: milliseconds of each launch, and the processor's milliseconds for one, by contender."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.cpu: dict[str, float] = {}
        self.rates: dict[str, float] = {}

    def median(self, name: str) -> float:
        return statistics.median(self.times[name])


class Bench:
    """A launcher of its own, the contenders, and what each of them uses."""

    def __init__(self, root: Path) -> None:
        self.launching = Launching(root)
        true = launch_peers.static_true(root)
        host = host_sandbox()
        self.sandbox = host_sandbox(binds=(*host.binds, Bind(str(true.parent), "/opt/true")))
        cgroup = f"{self.launching.cgroup_parent}-peers"
        self.peers_cgroup = cgroup
        for one in ("memory", "cpu", "pids", "freezer"):  # The C floor's are below them; cpuacct's is the meter's.
            if os.path.isdir(f"/sys/fs/cgroup/{one}"):
                os.mkdir(f"/sys/fs/cgroup/{one}/{cgroup}")
        peers_meter = Meter(cgroup)
        self.own_meter = Meter(f"{self.launching.cgroup_parent}-ours", (self.launching.cgroup_parent,))
        self.own_meter.enter()
        self.launching.start_launcher()
        ours = Contender(OURS, "everything on; a durable record of its end", self.launch)
        peers_meter.enter()
        found = launch_peers.peers(Place(root, true, cgroup, self.sandbox))
        self.absent = [one for one in found if isinstance(one, Absent)]
        self.contenders = {one.name: one for one in (ours, *found) if isinstance(one, Contender)}
        self.meters = dict.fromkeys(self.contenders, peers_meter) | {OURS: self.own_meter}

    def launch(self) -> float:
        spec = self.launching.spec(PROGRAM, sandbox=self.sandbox)
        before = time.perf_counter()
        self.launching.client.start(spec)
        ended = wait_for_end(Path(spec.run_dir))
        took = time.perf_counter() - before
        if not isinstance(ended, records.Exited) or ended.record.exit_code != 0:
            raise SystemExit(f"the launch failed: {ended}")
        return took

    def settle(self) -> None:
        """Return when the launcher has nothing to do any more, so that nobody is measured beside its work."""
        while self.launching.client.status()["warm"] < WARM:
            select.select((), (), (), 0.02)
        select.select((), (), (), SETTLED_SECONDS)

    def quick(self) -> list[str]:
        return [name for name in QUICK if name in self.contenders]

    def engines(self) -> list[str]:
        """Return those that change the host's mounts, after which nothing made ahead is used; and us."""
        return [name for name in self.contenders if name in (OURS, "bwrap") or name not in QUICK]

    def turns(self, names: Sequence[str], rounds: int, block: Callable[[Contender, list[float]], None]) -> Figures:
        """Have each do a block by turns, `rounds` times, all quiet before each."""
        self.settle()
        figures = Figures()
        used = dict.fromkeys(names, 0.0)
        for number in range(rounds):
            for name in names:
                contender, meter = self.contenders[name], self.meters[name]
                if number % contender.every:
                    continue
                meter.enter()
                before = meter.milliseconds()
                block(contender, figures.times.setdefault(name, []))
                if name == OURS:  # The others leave nothing to be done.
                    self.settle()
                used[name] += meter.milliseconds() - before
        figures.cpu = {name: used[name] / len(times) for name, times in figures.times.items()}
        return figures

    def close(self) -> None:
        self.launching.close()  # Its launcher is in our own meter.
        for meter in set(self.meters.values()):
            meter.close()
        for parent in Path("/sys/fs/cgroup").glob(f"*/{self.peers_cgroup}"):  # The OCI runtimes made more of them.
            launch_costs.remove_cgroups(parent)


def alone(contender: Contender, times: list[float]) -> None:
    times.append(contender.launch() * 1000)


def paced(contender: Contender, times: list[float]) -> None:
    start = time.perf_counter()
    for number in range(BLOCK):
        select.select((), (), (), max(0.0, start + number * PACE_SECONDS - time.perf_counter()))
        times.append(contender.launch() * 1000)


def back_to_back(contender: Contender, times: list[float]) -> None:
    times += [contender.launch() * 1000 for _ in range(BLOCK)]


def in_flight(rates: dict[str, list[float]]) -> Callable[[Contender, list[float]], None]:
    def block(contender: Contender, times: list[float]) -> None:
        start = time.perf_counter()
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            taken = list(pool.map(lambda _: contender.launch() * 1000, range(4 * BLOCK)))
        rates.setdefault(contender.name, []).append(len(taken) / (time.perf_counter() - start))
        times += taken

    return block


def measure(bench: Bench, rounds: int) -> dict[str, Figures]:
    for _ in range(WARM_UP):
        for name in bench.quick():
            bench.contenders[name].launch()
    blocks = max(1, rounds // BLOCK)
    rates: dict[str, list[float]] = {}
    figures: dict[str, Figures] = {}
    for way, names, turns, block in (
        ("one at a time, all quiet before each", bench.quick(), rounds, alone),
        ("the same beside container engines", bench.engines(), max(1, rounds // 3), alone),
        ("20 a second", bench.quick(), blocks, paced),
        ("back to back", bench.quick(), blocks, back_to_back),
        (f"{IN_FLIGHT} in flight", bench.quick(), max(1, blocks // 2), in_flight(rates)),
    ):
        found = figures[way] = bench.turns(names, turns, block)
        found.rates = {name: statistics.median(many) for name, many in rates.items()}
        report(way, found)
    return figures


def report(way: str, found: Figures) -> None:
    print(f"\n{way}")
    print("              median      p95      p99   CPU ms   / bwrap  / floor   launches/s")
    for name, times in found.times.items():
        print(f"{name:12} {_numbers(found, name, times)}", flush=True)


def report_who(bench: Bench) -> None:
    print("\nCPU: all processes of a launch and its cleaning up, what made the next ready included.")
    for one in bench.contenders.values():
        print(f"{one.name}: {one.what}.")
    for absent in bench.absent:
        print(f"{absent.name}: {absent.why}.")


def _numbers(found: Figures, name: str, times: list[float]) -> str:
    median, many = statistics.median(times), len(times) > 1
    cuts = statistics.quantiles(times, n=100) if many else [median] * 99
    ratios = "".join(
        f"{median / found.median(other):9.2f}" if other in found.times else "        -"
        for other in ("bwrap", "C floor")
    )
    rate = f"{found.rates[name]:12.0f}" if name in found.rates else ""
    return f"{median:8.2f} {cuts[94]:8.2f} {cuts[98]:8.2f} {found.cpu[name]:8.2f} {ratios} {rate}"


def report_memory(bench: Bench) -> None:
    specs = [bench.launching.spec("sleep", "600") for _ in range(SLEEPERS)]
    started = [bench.launching.client.start(spec) for spec in specs]
    for spec in specs:
        bench.launching.until(lambda spec=spec: bench.launching.observe(spec) and _executes(bench, spec.run_id))
    found = [launch_costs.private_kib(one.pid) for one in started if one is not None]
    print(f"\nprivate memory of the supervisor of a running job: median {statistics.median(found):.0f} KiB")
    for spec in specs:
        bench.launching.stop(spec)
        bench.launching.record_of(spec)


def _executes(bench: Bench, run_id: str) -> bool:
    """Whether a run is past its exec: its process in its cgroup is called what it executes."""
    parent = bench.launching.cgroup_parent
    root = Path("/sys/fs/cgroup")
    for procs in (*root.glob(f"*/{parent}/{run_id}/cgroup.procs"), *root.glob(f"{parent}/{run_id}/cgroup.procs")):
        return any(Path(f"/proc/{pid}/comm").read_text() == "sleep\n" for pid in procs.read_text().split())
    return False


def report_leaks(bench: Bench, launches: int) -> None:
    """Launch many, some at once, and say what the host has more of."""
    bench.own_meter.enter()
    pid = bench.launching.client.ping()
    with ThreadPoolExecutor(2 * IN_FLIGHT) as pool:
        # What is made once, for as many runs as there ever were at once, is made by now.
        list(pool.map(lambda _: bench.launch(), range(10 * BLOCK)))
    before = _counts(bench, pid)
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(lambda _: bench.launch(), range(launches)))
    print(f"\nbefore and after {launches} launches")
    for name, (was, is_now) in launch_costs.differences(before, lambda: _counts(bench, pid)).items():
        print(f"{name:26} {was:7} {is_now:7}")


def _counts(bench: Bench, pid: int) -> dict[str, int]:
    bench.launching.until(lambda: bench.launching.client.status()["running"] == 0)
    bench.settle()
    return launch_costs.left_on_host(pid, bench.launching.cgroup_parent)


def picture(figures: dict[str, Figures]) -> str:
    rows = []
    for way, found in list(figures.items())[:4]:
        for name in found.times:
            if name != "podman":
                median = found.median(name)
                rows.append((f"{name}, {way.split(',')[0]}", median, f"{median:.1f} ms, CPU {found.cpu[name]:.1f}"))
    return launch_picture.bars(
        "Request to end seen, a static `true`", "Medians of one run, by turns; shorter is better", rows
    )


def end_once(_number: int, _frame: object) -> None:
    """Clean up and end; whoever says it again does not disturb that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(description="launches beside others'")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--leaks", type=int, default=2000, metavar="LAUNCHES")
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, end_once)
    launch_peers.be_a_host_of_one_cgroup_version()
    bench = Bench(Path(tempfile.mkdtemp(prefix="runwright-bench-", dir="/var/tmp")))
    try:
        figures = measure(bench, asked.rounds)
        report_who(bench)
        report_memory(bench)
        if asked.leaks:
            report_leaks(bench, asked.leaks)
    finally:
        bench.close()
    if asked.picture is not None:
        asked.picture.write_text(picture(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
