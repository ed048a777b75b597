"""What a decision of the queue costs, and that it is right, with 10,000 jobs of 20 classes that wait.

    python tests/bench/bench_queue.py [JOBS] [REAL]

First the decisions alone: a host of 64 cores drains the queue in simulated time; each decision is timed, and it is
checked that the host is never promised twice and that nobody begins before somebody of a higher class whose need was
free. Then REAL jobs on this host by a real daemon: `sleep`s of requests that fill it, and what became of them by their records.
"""

import heapq
import random
import re
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from api.client import Client  # noqa: E402
from api.kinds import JOB, NODE, PRIORITY_CLASS  # noqa: E402
from api.meta import API_VERSION, Document, ObjectKey, read_time  # noqa: E402
from controller.capacity import amounts  # noqa: E402
from controller.capacity.amounts import need  # noqa: E402
from controller.capacity.line import Line, Order, Waiting  # noqa: E402
from controller.capacity.turns import Promised, Rules, decide  # noqa: E402
from support.daemon import Daemon  # noqa: E402

JOBS, REAL, CLASSES = 10_000, 1_000, 20
HOST = {"cpu": 64_000, "memory": 256 << 30, "ephemeral-storage": 1 << 40, "pods": 200, "nvidia.com/gpu": 8}
GOAL_MS = 2.0
MICRO = 1_000_000


def main() -> None:
    """Measure both; say whether the goal is met."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    real = int(sys.argv[2]) if len(sys.argv) > 2 else REAL
    for name, shapes in (("200 needs", 200), ("each its own need", jobs)):
        times, inversions = simulate(jobs, shapes)
        report(f"{jobs} jobs of {CLASSES} classes, {name}", times, inversions)
    if real:
        drain(real)


def report(what: str, times: list[float], inversions: int) -> None:
    """Print one row."""
    of = [each * 1000 for each in times]
    p99 = sorted(of)[int(len(of) * 0.99)]
    goal = "met" if p99 < GOAL_MS else "MISSED"
    print(
        f"{what}: {len(of)} decisions, processor time median {statistics.median(of):.3f} ms, p99 {p99:.3f} ms, most {max(of):.2f} ms "
        f"(goal < {GOAL_MS:g} ms: {goal}); begun out of order: {inversions}; never over-committed"
    )


def simulate(jobs: int, shapes: int) -> tuple[list[float], int]:
    """Queue all, then drain: return the times of decisions, and how many began before a higher one that would fit."""
    random_ = random.Random(1)
    kinds = [a_need(random_, number) for number in range(shapes)]
    line, used, running, times = Line(Order(tuple(range(CLASSES)), 3600)), {}, {}, []
    ends: list[tuple[int, int]] = []
    now, inversions = 0, 0
    for number in range(jobs):
        key = ObjectKey("Job", f"n{number % 10}", f"j{number}")
        line.add(Waiting(key, f"j{number}", number % CLASSES, number, kinds[number % shapes]))
    while len(line) or running:
        began = time.thread_time()  # Its own time: the machine may be busy with other things.
        turns = decide(line, list(running.values()), HOST, used, now, Rules())
        times.append(time.thread_time() - began)
        for one in turns.begin:
            line.remove(one.key)
            inversions += (
                turns.blocked is not None and one.priority < turns.blocked.priority and takes(one, turns.blocked)
            )
            number = int(one.uid[1:])
            running[number] = Promised(one.key, 1, one.need, one.priority, one.since, now)
            amounts.plus(used.setdefault(one.key.namespace, {}), one.need)
            heapq.heappush(ends, (now + random_.randint(1, 60) * MICRO, number))
        total = amounts.total(tuple(each.items()) for each in used.values())
        assert all(amount <= HOST[name] for name, amount in total.items()), total
        now, number = heapq.heappop(ends)
        ended = running.pop(number)
        amounts.minus(used[ended.key.namespace], ended.need)
    return times, inversions


def takes(one: Waiting, first: Waiting) -> bool:
    """Whether one takes what the first that waits lacks: it may have what that has no use for."""
    return {name for name, _ in one.need} <= {name for name, _ in first.need} and one.need >= first.need


def a_need(random_: random.Random, number: int) -> amounts.Need:
    """Return what some job takes."""
    gpus = {"nvidia.com/gpu": random_.randint(1, 4)} if number % 17 == 0 else {}
    cpu, memory = random_.randint(1, 160) * 100 + number % 100, random_.randint(1, 64) << 30
    return need({"cpu": cpu, "memory": memory, "pods": 1, **gpus})


def drain(jobs: int) -> None:
    """Have a real daemon run so many jobs, suspended until all are there; check its records."""
    with Daemon("queue.ageing_seconds=3600", "jobs.max_active=50") as daemon:
        daemon.start()
        client = daemon.client
        for number in range(CLASSES):
            document = {"apiVersion": PRIORITY_CLASS.api_version, "kind": "PriorityClass", "value": number}
            client.create(PRIORITY_CLASS, "", document | {"metadata": {"name": f"c{number}"}})
        cpus = amounts.read("cpu", client.list(NODE)["items"][0]["status"]["allocatable"]["cpu"])
        client.create(JOB, "default", a_job("first", cpus, 0, "3600"))
        daemon.until("the host is full", lambda: phase(client, "first") == "Running")
        for number in range(jobs):
            client.create(
                JOB, "default", a_job(f"j{number:05}", cpus // 8 * (1 + number % 3), number % CLASSES, "0.02")
            )
        daemon.until("all wait", lambda: queued(daemon) == jobs, 300, every=0.5)
        client.delete(JOB, "default", "first")
        began = time.monotonic()
        daemon.until("all have ended", lambda: all_over(client), 900, every=0.5)
        seconds = time.monotonic() - began
        check(client, jobs, cpus, seconds, daemon.client.transport.text("/metrics"))


def check(client: Client, jobs: int, cpus: int, seconds: float, metrics: str) -> None:
    """Print what became of them."""
    moments, starts = [], []
    for job in client.list(JOB, "default")["items"]:
        run = job["status"]["runs"][0]
        asked = amounts.read("cpu", run["requests"]["cpu"])
        moments += [(read_time(run["startedAt"]), asked), (read_time(run["finishedAt"]), -asked)]
        starts.append((read_time(run["startedAt"]), job["status"]["priority"]))
    busy, most = 0, 0
    for _, change in sorted(moments):
        busy += change
        most = max(most, busy)
    starts.sort()
    seen = [priority for _, priority in starts]
    late = sum(any(later > each for later in seen[place + 50 :]) for place, each in enumerate(seen))
    passes = sum(float(n) for n in re.findall(r'reconcile_total\{controller="job",result="\w+"\} ([\d.]+)', metrics))
    print(
        f"{jobs} real jobs: {jobs / seconds:.0f} a second, most promised {most} of {cpus} m "
        f"({'OVER' if most > cpus else 'never over'}), passes a job {passes / jobs:.1f}, "
        f"begun more than 50 places before a higher class: {late}"
    )


def a_job(name: str, cpu: int, class_: int, seconds: str) -> Document:
    """Return a job that requests so much and sleeps."""
    resources = {"requests": {"cpu": f"{cpu}m"}}
    spec = {"command": ["sleep", seconds], "priorityClassName": f"c{class_}", "resources": resources}
    return {"apiVersion": API_VERSION, "kind": "Job", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def phase(client: Client, name: str) -> str:
    """Return how far a job is."""
    return str(client.get(JOB, "default", name).get("status", {}).get("phase"))


def queued(daemon: Daemon) -> int:
    """Return how many wait, as the metrics say."""
    text = daemon.client.transport.text("/metrics")
    return int(sum(float(n) for n in re.findall(r"^runwright_jobs_queued\{.*\} ([\d.]+)", text, re.MULTILINE)))


def all_over(client: Client) -> bool:
    """Whether all have succeeded."""
    return all(
        job.get("status", {}).get("phase") == "Succeeded"
        for job in client.list(JOB, "default")["items"]
        if job["metadata"]["name"] != "first"
    )


if __name__ == "__main__":
    main()
