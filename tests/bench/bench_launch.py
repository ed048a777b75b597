"""How long a launch takes beside others', interleaved in one run: start asked for → end seen, as the controller sees it.

    python tests/bench/bench_launch.py [ROUNDS]

Ours: all namespaces, cgroup limits, seccomp, log, durable claim and exit record. bwrap: `--unshare-all`, no
cgroup, no seccomp, no records. Plain: fork and exec. The program is a static `true` where there is a C compiler.
"""

import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from controller.launcher import records  # noqa: E402
from controller.launcher.server import WARM  # noqa: E402
from controller.sandbox.spec import Bind  # noqa: E402
from support.launching import Launching, host_sandbox, wait_for_end  # noqa: E402

DEFAULT_ROUNDS = 200
WARM_UP = 10


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_ROUNDS
    root = Path(tempfile.mkdtemp(prefix="runwright-bench-", dir="/var/tmp"))
    launching = Launching(root)
    try:
        true = static_true(root)
        launching.start_launcher()
        found = contenders(launching, true)
        times = measure(found, rounds, lambda: settled(launching))
        times["back to back"] = measure({"ours": found["runwright"]}, rounds, lambda: None)["ours"]
    finally:
        launching.close()
    report(times, rounds)
    return 0


def static_true(root: Path) -> Path:
    """A `true` of a directory of its own: static if it can be built here."""
    directory = root / "true"
    directory.mkdir()
    program = directory / "true"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is not None:
        source = root / "true.c"
        source.write_text("int main(void) { return 0; }\n")
        if subprocess.call([compiler, "-O2", "-static", "-o", str(program), str(source)]) == 0:
            return program
    shutil.copy("/bin/true", program)
    return program


def contenders(launching: Launching, true: Path) -> dict[str, Callable[[], float]]:
    host = host_sandbox()
    sandbox = host_sandbox(binds=(*host.binds, Bind(str(true.parent), "/opt/true")))
    bwrap = ["bwrap", "--unshare-all", "--die-with-parent", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for bind in sandbox.binds:  # The same host directories as ours.
        bwrap += ["--ro-bind", bind.source, bind.target]
    for path, points_to in sandbox.symlinks:
        bwrap += ["--symlink", points_to, path]
    bwrap.append("/opt/true/true")

    def ours() -> float:
        spec = launching.spec("/opt/true/true", sandbox=sandbox)
        before = time.perf_counter()
        launching.client.start(spec)
        ended = wait_for_end(Path(spec.run_dir))
        took = time.perf_counter() - before
        if not isinstance(ended, records.Exited) or ended.record.exit_code != 0:
            raise SystemExit(f"the launch failed: {ended}")
        return took

    found = {"runwright": ours, "plain": lambda: spawn([str(true)])}
    if shutil.which("bwrap"):
        found["bwrap"] = lambda: spawn(bwrap)
    return found


def spawn(argv: list[str]) -> float:
    path = shutil.which(argv[0]) or argv[0]
    before = time.perf_counter()
    pid = os.posix_spawn(path, argv, {"PATH": "/usr/bin:/bin"})
    _, status = os.waitpid(pid, 0)
    took = time.perf_counter() - before
    if status != 0:
        raise SystemExit(f"{argv[0]} failed: {status}")
    return took


def settled(launching: Launching) -> None:
    """Return when the launcher has nothing to do any more, so that nobody is measured beside its work."""
    while launching.client.status()["warm"] < WARM:
        select.select((), (), (), 0.05)


def measure(
    contenders: dict[str, Callable[[], float]], rounds: int, settle: Callable[[], None]
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(WARM_UP + rounds):
        for name, launch in contenders.items():
            settle()
            took = launch()
            if number >= WARM_UP:
                times[name].append(took * 1000)
    return times


def report(times: dict[str, list[float]], rounds: int) -> None:
    print(f"{rounds} launches each, interleaved, of a `true`; milliseconds")
    print("              p10   median      p90   median / bwrap")
    base = statistics.median(times["bwrap"]) if "bwrap" in times else None
    for name, taken in times.items():
        p10, *_, p90 = statistics.quantiles(taken, n=10)
        median = statistics.median(taken)
        ratio = f"{median / base:12.2f}" if base else ""
        print(f"{name:12} {p10:5.2f}  {median:7.2f}  {p90:7.2f}  {ratio}")


if __name__ == "__main__":
    sys.exit(main())
