import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from api.meta import ObjectKey
from controller.engine.metrics import EngineMetrics, Outcome
from controller.engine.workqueue import WorkQueue
from support.hand_clock import HandClock

A = ObjectKey("Toy", "default", "a")


def value(registry: CollectorRegistry, metric: str, **labels: str) -> float | None:
    return registry.get_sample_value(metric, labels)


def test_every_outcome_is_there_as_zero_before_the_first_pass():
    registry = CollectorRegistry()
    EngineMetrics(registry).controller("toy", workers=3)

    results = {
        o: value(registry, "controller_runtime_reconcile_total", controller="toy", result=o.value) for o in Outcome
    }

    assert results == dict.fromkeys(Outcome, 0.0)
    assert value(registry, "controller_runtime_reconcile_errors_total", controller="toy") == 0.0
    assert value(registry, "controller_runtime_max_concurrent_reconciles", controller="toy") == 3.0


def test_a_failed_pass_counts_as_an_error_and_its_time_is_observed():
    registry = CollectorRegistry()
    metrics = EngineMetrics(registry).controller("toy", workers=1)

    metrics.passed(Outcome.ERROR, 0.2)

    assert value(registry, "controller_runtime_reconcile_total", controller="toy", result="error") == 1.0
    assert value(registry, "controller_runtime_reconcile_errors_total", controller="toy") == 1.0
    assert value(registry, "controller_runtime_reconcile_time_seconds_sum", controller="toy") == 0.2


def test_the_depth_and_the_work_of_a_queue_are_read_when_asked_for():
    registry, clock = CollectorRegistry(), HandClock()
    metrics = EngineMetrics(registry)
    queue = WorkQueue(clock, metrics.queue_observer("toy"))
    metrics.watch_queue("toy", queue)
    labels = {"name": "toy", "controller": "toy"}

    queue.add(A)
    depth = value(registry, "workqueue_depth", **labels)
    clock.advance(1.5)
    queue.get(0.0)
    clock.advance(4.0)

    assert depth == 1.0
    assert value(registry, "workqueue_depth", **labels) == 0.0
    assert value(registry, "workqueue_adds_total", **labels) == 1.0
    assert value(registry, "workqueue_queue_duration_seconds_sum", **labels) == 1.5
    assert value(registry, "workqueue_unfinished_work_seconds", **labels) == 4.0
    assert value(registry, "workqueue_longest_running_processor_seconds", **labels) == 4.0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_finds_nothing_wrong_with_the_metrics():
    registry = CollectorRegistry()
    metrics = EngineMetrics(registry)
    metrics.controller("toy", workers=1)
    metrics.watch_queue("toy", WorkQueue(HandClock(), metrics.queue_observer("toy")))

    checked = subprocess.run(["promtool", "check", "metrics"], input=generate_latest(registry), capture_output=True)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
