"""Plays the demo: `make demo`. Exits 0 if all of it happened, 1 if any of it did not."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from api.client import Client
from api.client_transport import Address
from api.kinds import MANIFEST
from controller.runtime.build import builder
from examples.demo.stage import HostState, RegistryServer, Stage
from examples.demo.world import Failure, World

_VERSIONS = ("1.0.0", "1.1.0")
_CPU_SECONDS = 5.0


class Play:
    """The acts, in order; each raises `Failure` if what it shows did not happen."""

    def __init__(self, stage: Stage, console: Console) -> None:
        """Play on `stage`, telling it on `console`."""
        self.stage = stage
        self.console = console
        self.started = time.monotonic()
        self.client = Client(Address.of_socket(stage.socket), field_manager="demo")

    def say(self, text: str) -> None:
        """Tell of something that happened."""
        self.console.print(f"  [green]✓[/] {text}", highlight=False)

    @contextmanager
    def act(self, title: str) -> Iterator[None]:
        """Head a part of the play, with a spinner while it lasts."""
        self.console.print(f"[bold cyan]{title}[/] [dim]{time.monotonic() - self.started:.1f} s[/]")
        with self.console.status("…") if self.console.is_terminal else _nothing():
            yield

    def play(self) -> None:
        """Play it all."""
        self.build_registry()
        self.start()
        self.install()
        self.outcomes()
        self.cpu_limit()
        self.survive()
        self.edit_and_prune()
        self.metrics()

    def build_registry(self) -> None:
        """Pack the machine's own Python twice and serve it."""
        with self.act("A real Python runtime, packed from this machine, served over HTTP"):
            directory = self.stage.root / "registry"
            builder.pack_python(directory, _VERSIONS, "demo-python")
            self.stage.registry = RegistryServer(directory)
            sizes = ", ".join(f"{p.name} {p.stat().st_size >> 20} MiB" for p in sorted(directory.glob("*.tar.gz")))
            self.say(f"{sizes} at http://127.0.0.1:{self.stage.registry.port}/registry.json")

    def start(self) -> None:
        """Start the daemon and drop all manifests."""
        with self.act("The controller starts; the quickstart manifests are dropped into its directory"):
            pid = self.stage.start_daemon()
            for name in Stage.quickstart():
                self.stage.drop(name)
            self.wait_ready()
            self.world = World(self.client)
            self.say(f"runwrightd --root {self.stage.root} is ready, pid {pid}")

    def wait_ready(self) -> None:
        """Wait until the daemon answers."""
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            if self.stage.daemon_ended() is not None:
                raise Failure(f"runwrightd ended: {self.stage.log.read_text()[-2000:]}")
            try:
                if "ok" in self.client.transport.text("/readyz"):
                    return
            except Exception:  # noqa: BLE001, S110  whatever is wrong before it is up, the end of the wait tells
                pass
            time.sleep(0.05)  # noqa: TID251  no event tells of a socket that is not there yet
        raise Failure("runwrightd was not ready within 20 s")

    def install(self) -> None:
        """Show the installation of both versions as it goes."""
        with self.act("The runtime is installed"):
            with Progress(
                TextColumn("    {task.description}"), BarColumn(), DownloadColumn(), console=self.console
            ) as bars:
                tasks = {version: bars.add_task(f"demo-python@{version}", total=None) for version in _VERSIONS}

                def installed(world: World) -> bool:
                    versions = world.runtime("demo-python").get("status", {}).get("versions", ())
                    for entry in versions:
                        if entry["version"] in tasks and entry.get("sizeBytes"):
                            done = entry["sizeBytes"] if entry["state"] == "Installed" else entry.get("doneBytes", 0)
                            bars.update(tasks[entry["version"]], total=entry["sizeBytes"], completed=done)
                    return {e["version"] for e in versions if e["state"] == "Installed"} >= set(_VERSIONS)

                self.world.until("both versions installed", installed, 40)
            tree = self.stage.root / "opt/joblet/runtimes/demo-python-1.1.0"
            if not (tree / "runtime.yml").is_file():
                raise Failure(f"{tree} is not there")
            self.say("two versions of demo-python side by side, verified by checksum, each by one atomic rename")

    def outcomes(self) -> None:
        """Show how each kind of job ends."""
        with self.act("Jobs: computed, side by side, out of memory, out of time, retried"):
            self.expect("compute", "Succeeded", "Completed")
            text = self.world.log("compute").strip()
            self.require("3245 primes" in text, f"compute printed {text!r}")
            self.say(f"compute printed: [bold]{text}[/]")
            for name, version in (("on-old", "1.0.0"), ("on-new", "1.1.0")):
                self.expect(name, "Succeeded", "Completed")
                self.require(self.world.log(name).strip() == f"I run on {version}", f"{name} ran on another version")
            self.say("on-old ran on 1.0.0 while on-new ran on 1.1.0")
            self.expect("memory-hog", "Failed", "OOMKilled")
            peak = self.world.last_run("memory-hog").get("usage", {}).get("memoryPeakBytes", 0)
            self.require(60 << 20 <= peak <= 67.2 * (1 << 20), f"memory-hog peaked at {peak} bytes, not at 64 MiB")
            self.say(f"memory-hog was killed for memory at {peak / (1 << 20):.1f} MiB of 64: OOMKilled")
            self.expect("too-slow", "Failed", "DeadlineExceeded")
            self.say("too-slow was stopped after its 2 s: DeadlineExceeded")
            self.expect("flaky", "Succeeded", "Completed")
            self.require(self.world.status("flaky")["attempts"] == 2, "flaky did not need two attempts")
            self.say("flaky failed once, waited its backoff and succeeded")

    def cpu_limit(self) -> None:
        """Measure the cpu limit from the cgroup's own counter, over some seconds."""
        with self.act("A CPU limit, measured from the job's cgroup"):
            self.world.until("half-a-core runs", lambda w: w.status("half-a-core").get("phase") == "Running")
            begin, since = self.cpu_used(), time.monotonic()
            time.sleep(_CPU_SECONDS)  # noqa: TID251  the measurement is over this time
            cores = (self.cpu_used() - begin) / (time.monotonic() - since)
            self.require(0.45 <= cores <= 0.55, f"half-a-core used {cores:.3f} cores")
            self.say(f"half-a-core, limited to 500m, used {cores:.3f} cores over {_CPU_SECONDS:g} s")
            self.stage.remove("limits.yaml")
            self.world.until("half-a-core gone", lambda w: not w.job("half-a-core"))

    def cpu_used(self) -> float:
        """Return the cpu seconds of half-a-core, from the metrics, which read the cgroup."""
        text = self.client.transport.text("/metrics")
        found = re.search(r'runwright_job_cpu_seconds_total\{job="half-a-core",[^}]*\} (\S+)', text)
        self.require(found is not None, "no metric of half-a-core's cpu")
        return float(found[1]) if found else 0.0

    def survive(self) -> None:
        """Kill the controller while a job runs."""
        with self.act("The controller is killed with SIGKILL while a job runs"):
            self.stage.drop("survivor.yaml", {"name: survivor": "name: survivor-2"})
            self.world.until("survivor-2 runs", lambda w: w.status("survivor-2").get("phase") == "Running")
            supervisor = self.world.last_run("survivor-2")["pid"]
            self.stage.kill_daemon()
            self.require(Path(f"/proc/{supervisor}").exists(), "the job died with the controller")
            self.say(f"the controller is dead, the job's supervisor {supervisor} is not")
            self.stage.start_daemon()
            self.wait_ready()
            self.expect("survivor-2", "Succeeded", "Completed")
            status, run = self.world.status("survivor-2"), self.world.last_run("survivor-2")
            self.require((status["attempts"], run["pid"]) == (1, supervisor), "it was not the same run")
            lines = self.world.log("survivor-2").split("\n")
            self.require(lines[:-1] == [f"tick {n}" for n in range(1, 9)], f"its log has a gap: {lines}")
            self.say("the next controller adopted it: one attempt, every tick in its log, its exit recorded")

    def edit_and_prune(self) -> None:
        """Edit, break and remove a manifest."""
        with self.act("Manifests: edited, broken, deleted"):
            self.expect("greeting", "Succeeded", "Completed")
            self.stage.drop("greeting.yaml", {"good morning": "good evening"})
            self.world.until(
                "greeting ran again", lambda w: w.ended("greeting") and w.status("greeting")["attempts"] == 2
            )
            self.require(self.world.log("greeting").strip() == "good evening", "the edit took no effect")
            self.say("greeting.yaml was edited, and greeting ran again: good evening")
            self.stage.drop("greeting.yaml", {'command: ["echo", "good morning"]': "command: 7"})
            report = self.broken_report()
            self.require(bool(self.world.job("greeting")), "the last good version is gone")
            self.say(f"broken, it is reported: [bold]{report}[/]; the last good version stays")
            self.stage.remove("greeting.yaml")
            self.world.until("greeting pruned", lambda w: not w.job("greeting"))
            self.say("greeting.yaml was removed, and so was the job")

    def broken_report(self) -> str:
        """Wait for the report of the broken manifest; return where and what."""

        def reported(_: World) -> str | None:
            for item in self.client.list(MANIFEST)["items"]:
                if item.get("state") == "Invalid" and "greeting.yaml" in item.get("file", ""):
                    return str(item["message"])
            return None

        found = str(self.world.until("the broken manifest reported", reported, 15))
        self.require(re.search(r"greeting\.yaml:\d+", found) is not None, f"no line in {found!r}")
        return found

    def metrics(self) -> None:
        """Show the metrics."""
        with self.act("Metrics"):
            text = self.client.transport.text("/metrics")
            for pattern in (
                r'runwright_runs_total\{outcome="Completed"\} \d',
                r"workqueue_adds_total",
                r"controller_runtime_reconcile_total",
            ):
                self.require(re.search(pattern, text) is not None, f"no {pattern} in /metrics")
            families = len(re.findall(r"^# TYPE ", text, re.MULTILINE))
            self.say(f"{families} metric families, {len(text.splitlines())} lines, such as:")
            for line in re.findall(r"^runwright_runs_total\{.*\} [1-9].*$", text, re.MULTILINE):
                self.console.print(f"      [dim]{line}[/]", highlight=False)

    def expect(self, name: str, phase: str, reason: str) -> None:
        """Wait for a job to end, and require how."""
        status = self.world.until(f"{name} ended", lambda w: w.ended(name), 30)
        have = (status["phase"], status["reason"])
        self.require(have == (phase, reason), f"{name} is {have[0]}/{have[1]}: {status.get('message')}")

    @staticmethod
    def require(holds: bool, otherwise: str) -> None:  # noqa: FBT001  reads as an assertion
        """Fail with `otherwise` unless it holds."""
        if not holds:
            raise Failure(otherwise)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _clean(before: HostState, own_slice: str, settled: Callable[[], float]) -> list[str]:
    """Return what the demo left on the host, giving the kernel a moment to let go of namespaces."""
    give_up = settled() + 5
    while (left := HostState.now().left_since(before, own_slice)) and settled() < give_up:
        time.sleep(0.05)  # noqa: TID251  the kernel takes namespaces down by itself and tells nobody
    return left


def main() -> int:
    """Play, take everything down, and look whether anything is left."""
    console = Console(highlight=False, force_terminal=bool(os.environ.get("FORCE_COLOR")) or None)  # noqa: TID251
    if os.geteuid() != 0:
        console.print("the demo makes namespaces and cgroups: run it as root")
        return 1
    before, begin = HostState.now(), time.monotonic()
    stage = Stage()
    try:
        with stage:
            Play(stage, console).play()
    except Failure as failure:
        console.print(f"  [bold red]✗ {failure}[/]")
        return 1
    left = _clean(before, stage.slice, time.monotonic)
    if left:
        console.print("  [bold red]✗ left on the host:[/]", *left, sep="\n    ")
        return 1
    console.print("  [green]✓[/] nothing is left on the host: mounts, cgroups, namespaces, processes as before")
    console.print(f"[bold green]All of it happened, in {time.monotonic() - begin:.0f} s.[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
