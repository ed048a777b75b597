"""What the API costs with many Jobs stored, beside raw SQLite and a bare Starlette route, by turns in one run.

    python tests/bench/bench_api.py [JOBS]

A real daemon serves its unix socket, and once TLS with a developer's certificate. The jobs are suspended: its controller
knows them and reports on them, and runs nothing. Clients are this one process and its one thread.
"""

import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/bench")]

import api_costs as costs  # noqa: E402
from api_floor import a_floor  # noqa: E402
from api_lines import Line, Place, Watchers, median_ms, percentile, request, sustained  # noqa: E402
from bench_store import BareSqlite, Clock, a_job  # noqa: E402

from api.kinds import JOB  # noqa: E402
from api.kubeconfigs import read as read_kubeconfig  # noqa: E402
from api.meta import Document  # noqa: E402
from api.objects.verbs import Verbs, WriteOptions  # noqa: E402
from controller.daemon.paths import Paths  # noqa: E402
from controller.daemon.settings import Settings  # noqa: E402
from state.store import Store  # noqa: E402
from support.daemon import Daemon, a_free_port  # noqa: E402

DEFAULT_JOBS = 10_000
GETS, LISTS, APPLIES, CHANGES = 1000, 40, 200, 500
WATCHERS, LINES, CREATE_SECONDS = 100, 16, 10.0
IDLE_SECONDS = 30.0
STARTS = 3
JOBS_PATH = "/apis/runwright.dev/v1alpha1/namespaces/default/jobs"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


@dataclass
class Row:
    """One goal, and what was measured."""

    goal: float
    unit: str
    at_least: bool = False
    measured: dict[str, float] = field(default_factory=dict)

    def line(self, name: str) -> str:
        sign = "≥" if self.at_least else "<"
        cells = [f"{name:34} {sign} {self.goal:5g} {self.unit:4}"]
        cells += [self._cell(where) for where in ("unix", "TLS")]
        cells += [self._beside(floor) for floor in ("Starlette", "SQLite")]
        return "  ".join(cells) + ("" if self.is_reached else "  MISSED")

    @property
    def is_reached(self) -> bool:
        ours = [value for where, value in self.measured.items() if where in ("unix", "TLS")]
        return all(value >= self.goal if self.at_least else value < self.goal for value in ours)

    def _cell(self, where: str) -> str:
        return f"{self.measured[where]:8.2f}" if where in self.measured else f"{'':8}"

    def _beside(self, floor: str) -> str:
        if floor not in self.measured:
            return f"{'':19}"
        ratio = self.measured["unix"] / self.measured[floor]
        return f"{self.measured[floor]:9.2f} ×{(1 / ratio if self.at_least else ratio):8.1f}"


ROWS = {
    "get, p50": Row(3, "ms"),
    "list of 500, p50": Row(120, "ms"),
    "create, sustained and durable": Row(300, "/s", at_least=True),
    "server-side apply, p50": Row(15, "ms"),
    f"change at {WATCHERS} watchers, p99": Row(60, "ms"),
    "memory of all processes, PSS": Row(250, "MB"),
    "idle, of one processor": Row(1, "%"),
    "start, from exec to ready": Row(3, "s"),
}
GET, LIST, CREATE, APPLYING, CHANGE, MEMORY, IDLE, START = ROWS


def main() -> int:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_JOBS
    tempfile.tempdir = "/var/tmp"  # A disk: a store in memory would be durable for nothing.
    port = a_free_port()
    with tempfile.TemporaryDirectory() as work, Daemon(f"api.listen=127.0.0.1:{port}") as daemon:
        seed(daemon, jobs)
        daemon.start()
        say(f"{jobs} jobs are known to the controller {costs.settle(daemon):.0f} s after the first start")
        measure_alone(daemon)
        unix = Place(daemon.socket)
        tls = over_tls(daemon, port, Path(work))
        with a_floor(Path(work)) as (process, floor):
            beside = Beside(Path(work), floor, unix, jobs)
            for where, place in (("unix", unix), ("TLS", tls)):
                measure_requests(where, place, beside, jobs)
                measure_watchers(where, place, beside, jobs)
            for where, place in (("unix", unix), ("TLS", tls)):
                measure_creates(where, place, beside, daemon)
            ROWS[MEMORY].measured["Starlette"] = costs.memory([process.pid])["Pss"]
        report_memory(daemon)
    print(f"\n{'':34} {'goal':11}  {'unix':>8}  {'TLS':>8}  {'bare Starlette':>19}  {'raw SQLite':>19}")
    for name, row in ROWS.items():
        print(row.line(name))
    return 0


def say(text: str) -> None:
    print(text, flush=True)


def seed(daemon: Daemon, jobs: int) -> None:
    """Store the jobs as an apply does, before the daemon's first start."""
    began = time.perf_counter()
    path = Paths.of(daemon.root, Settings()).database
    path.parent.mkdir(parents=True)
    store = Store.open(path, Clock())
    verbs = Verbs(store, Clock())
    verbs.bootstrap()
    for number in range(jobs):
        verbs.apply(JOB, "default", name_of(number), suspended(name_of(number)), WriteOptions(field_manager="bench"))
    store.close()
    say(f"{jobs} jobs are stored in {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e6:.0f} MB")


def name_of(number: int) -> str:
    return f"job-{number:05}"


def suspended(name: str, turn: int = 0) -> Document:
    """A job of an ordinary size that does not run; `turn` is of no meaning, and makes it another."""
    job = a_job(name)
    return job | {
        "spec": job["spec"] | {"suspend": True, "env": [*job["spec"]["env"], {"name": "T", "value": str(turn)}]}
    }


def over_tls(daemon: Daemon, port: int, work: Path) -> Place:
    printed = daemon.rnx("admin", "kubeconfig", "--user", "bench", "--groups", "developers")
    path = work / "kubeconfig"
    path.touch(0o600)
    path.write_text(printed.stdout)
    return Place(port=port, context=read_kubeconfig(path).context())


class Beside:
    """What does the same and decides nothing: a route of Starlette, a table of SQLite."""

    def __init__(self, work: Path, floor: Place, ours: Place, jobs: int) -> None:
        self.place = floor
        self.line, asking = Line(floor), Line(ours)
        self.one = asking.ask(request("GET", f"{JOBS_PATH}/{name_of(0)}"))
        for name, path in (("one", f"/{name_of(0)}"), ("many", "?limit=500")):
            self.line.ask(request("PUT", f"/kept/{name}", asking.ask(request("GET", JOBS_PATH + path))))
        asking.close()
        self.bare = BareSqlite(work / "bare.db")
        self.document = json.loads(self.one)
        self.bare.connection.execute("BEGIN")
        for number in range(jobs):
            row = (name_of(number), self.one.decode())
            self.bare.connection.execute("INSERT INTO objects (name, value) VALUES (?, ?)", row)
        self.bare.connection.execute("COMMIT")

    def page(self) -> list[Document]:
        rows = self.bare.connection.execute("SELECT value FROM objects ORDER BY name LIMIT 500")
        return [json.loads(value) for (value,) in rows]


def timed(do: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        began = time.perf_counter()
        do()
        return time.perf_counter() - began

    return measure


def measure_requests(where: str, place: Place, beside: Beside, jobs: int) -> None:
    """Time requests one at a time, each beside the floors."""
    line, pick, turns = Line(place), random.Random(5), itertools.count(1)

    def a_name() -> str:
        return name_of(pick.randrange(jobs))

    def apply() -> float:
        name = a_name()
        body = json.dumps(suspended(name, next(turns))).encode()
        return line.seconds(request("PATCH", f"{JOBS_PATH}/{name}?fieldManager=bench", body, APPLY))

    def put() -> None:
        beside.bare.put(a_name(), beside.document)

    write = request("POST", "/write", beside.one)
    note(GET, where, median_ms({
        where: lambda: line.seconds(request("GET", f"{JOBS_PATH}/{a_name()}")),
        "Starlette": lambda: beside.line.seconds(request("GET", "/kept/one")),
        "SQLite": timed(lambda: beside.bare.get(a_name())),
    }, GETS))  # fmt: skip
    note(LIST, where, median_ms({
        where: lambda: line.seconds(request("GET", f"{JOBS_PATH}?limit=500")),
        "Starlette": lambda: beside.line.seconds(request("GET", "/kept/many")),
        "SQLite": timed(beside.page),
    }, LISTS, 3))  # fmt: skip
    note(APPLYING, where, median_ms(
        {where: apply, "Starlette": lambda: beside.line.seconds(write, 201), "SQLite": timed(put)}, APPLIES
    ))  # fmt: skip
    line.close()


def note(name: str, where: str, measured: dict[str, float]) -> None:
    """Keep what was measured; of the floors, what was measured beside the unix socket."""
    row = ROWS[name]
    row.measured |= measured if where == "unix" else {where: measured[where]}
    say(f"  {where}: {name}: " + ", ".join(f"{each} {value:.2f}" for each, value in measured.items()) + f" {row.unit}")


def measure_watchers(where: str, place: Place, beside: Beside, jobs: int) -> None:
    """Change one job after the other, and time from sending the change to each watcher having it."""
    line = Line(place)
    revision = json.loads(line.ask(request("GET", f"{JOBS_PATH}?limit=1")))["metadata"]["resourceVersion"]
    watch = request("GET", f"{JOBS_PATH}?watch=1&allowWatchBookmarks=1&resourceVersion={revision}")
    pick = random.Random(7)

    def change(number: int) -> bytes:
        body = json.dumps({"metadata": {"annotations": {"bench/change": marker_of(where, number).decode()}}}).encode()
        return request("PATCH", f"{JOBS_PATH}/{name_of(pick.randrange(jobs))}", body, MERGE)

    ours = fanned_out(place, watch, line, lambda number: (change(number), marker_of(where, number)))
    line.close()
    told = fanned_out(
        beside.place,
        request("GET", "/watch"),
        beside.line,
        lambda number: (request("POST", "/tell", beside.one + marker_of(where, number)), marker_of(where, number)),
    )
    p50, p99 = (percentile(ours, at) * 1e3 for at in (50, 99))
    note(CHANGE, where, {where: p99, "Starlette": percentile(told, 99) * 1e3})
    say(f"  {where}: the same, p50: {p50:.2f} ms, at the worst {max(ours) * 1e3:.2f}")


def marker_of(where: str, number: int) -> bytes:
    return f"change-{where}-{number:04}".encode()


def fanned_out(place: Place, watch: bytes, line: Line, change: Callable[[int], tuple[bytes, bytes]]) -> list[float]:
    watchers, taken = Watchers(place, watch, WATCHERS), []
    for number in range(CHANGES):
        sent, marker = change(number)

        def cause(sent: bytes = sent) -> float:
            line.send(sent)
            return line.since

        taken += watchers.arrivals(cause, marker)
        while not line.take():
            pass
        if line.answer.code != 200:
            raise SystemExit(f"a change was answered {bytes(line.answer.received[:300])!r}")
    watchers.close()
    return taken


def measure_creates(where: str, place: Place, beside: Beside, daemon: Daemon) -> None:
    """Create as fast as it goes, each answered only when it is on the disk; then one by one, counting flushes."""

    def creations(prefix: str) -> Iterator[bytes]:
        for number in itertools.count():
            yield request("POST", JOBS_PATH, json.dumps(suspended(f"{prefix}-{number}")).encode())

    rate = sustained(place, creations(f"new-{where.lower()}"), LINES, CREATE_SECONDS, 201)
    behind = costs.settle(daemon)
    bare = sustained(beside.place, itertools.repeat(request("POST", "/write", beside.one)), LINES, 3, 201)
    puts = statistics.median(timed(lambda: beside.bare.put("other", beside.document))() for _ in range(500))
    note(CREATE, where, {where: rate, "Starlette": bare, "SQLite": 1 / puts})
    say(f"  {where}: the controller has seen all of them {behind:.0f} s after the last answer")
    if where == "unix":
        line, one_by_one = Line(place), creations("durable")
        with tempfile.TemporaryDirectory() as told:
            flushed = costs.flushes(
                daemon.pid, Path(told), lambda: [line.ask(next(one_by_one), 201) for _ in range(20)]
            )
        say(f"  {where}: 20 created one by one had the disk flushed {flushed} times")
        line.close()


def measure_alone(daemon: Daemon) -> None:
    """Measure start, rest and memory with nobody asking."""
    taken = []
    for _ in range(STARTS):
        daemon.stop_daemon()
        taken.append(start_seconds(daemon))
        costs.settle(daemon)
    ROWS[START].measured["unix"] = statistics.median(taken)
    say("  start: " + ", ".join(f"{each:.2f}" for each in taken) + " s")
    ROWS[IDLE].measured["unix"] = costs.busy(daemon, IDLE_SECONDS) * 100
    say(f"  idle over {IDLE_SECONDS:g} s: {ROWS[IDLE].measured['unix']:.2f} %")
    report_memory(daemon)


def start_seconds(daemon: Daemon) -> float:
    began = time.perf_counter()
    daemon.start_daemon()
    ready = request("GET", "/readyz")
    while True:
        if daemon.daemon_ended() is not None:
            raise SystemExit(daemon.log.read_text()[-3000:])
        try:
            line = Line(Place(daemon.socket))
        except OSError:
            costs.wait(0.005)
            continue
        line.send(ready)
        while not line.take():
            pass
        line.close()
        if line.answer.code == 200:
            return time.perf_counter() - began
        costs.wait(0.005)


def report_memory(daemon: Daemon) -> None:
    found = costs.memory(costs.processes(daemon))
    ROWS[MEMORY].measured["unix"] = max(found["Pss"], ROWS[MEMORY].measured.get("unix", 0))
    each = ", ".join(f"{name} {value:.0f}" for name, value in found.items())
    alone = costs.memory([daemon.pid])
    say(f"  memory: {each} MB; of the controller alone {alone['Rss']:.0f}, at most {costs.peak(daemon.pid):.0f}")


if __name__ == "__main__":
    sys.exit(main())
