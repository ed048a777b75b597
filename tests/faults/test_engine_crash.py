"""SIGKILL for a whole controller, threads and all, at every point of its work; then start it again."""

import os
import signal
import traceback
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from controller.engine.clock import SystemClock
from controller.engine.controller import Controller
from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import Recorder
from state.store import Store
from support.cuts import Scissors, with_scissors
from support.toy_kind import ToyReconciler, a_toy, toy_key, until, with_content

NAMES = ("ball", "kite", "doll")
WRITES = ("create", "update", "update_status")


def is_settled(store: Store) -> bool:
    for name in NAMES:
        toy = store.get(toy_key(name))
        if toy is None:
            continue
        is_doomed = "deletionTimestamp" in toy["metadata"]
        if is_doomed or toy.get("status", {}).get("content") != toy["spec"]["content"]:
            return False
    return True


def live(directory: Path, cut_at: int) -> None:
    """Be a controller until all objects are as they should be, or until the point `cut_at`."""
    scissors = Scissors(cut_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    store = Store.open(directory / "state.db", SystemClock())
    cuttable = with_scissors(store, scissors, *WRITES)
    toys = with_scissors(ToyReconciler(directory / "toys"), scissors, "act")
    metrics = EngineMetrics(CollectorRegistry())
    recorder = Recorder(cuttable, SystemClock(), metrics.events)
    controller = Controller(toys, cuttable, SystemClock(), recorder, metrics, workers=2)
    recorder.start()
    controller.start()
    until(store, lambda: is_settled(store))
    controller.stop(10)
    recorder.stop()
    store.close()


def in_a_process(directory: Path, cut_at: int) -> int:
    """Return -SIGKILL if it was cut, 0 if it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            live(directory, cut_at)
            os._exit(0)
        except BaseException:  # noqa: BLE001 -- a forked child must never return into the test.
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def with_store(directory: Path, change) -> None:
    store = Store.open(directory / "state.db", SystemClock())
    change(store)
    store.close()


@pytest.mark.invariant("R2")
def test_a_controller_killed_at_every_point_of_its_work_converges_when_started_again(tmp_path):
    cuts = 0
    for cut_at in range(1, 200):
        directory = tmp_path / str(cut_at)
        (directory / "toys").mkdir(parents=True)

        def declare(store: Store) -> None:
            for name in NAMES:
                store.create(a_toy(name, "red"))

        def change_and_delete(store: Store) -> None:
            store.update(with_content(store.get(toy_key("kite")), "blue"))
            store.delete(toy_key("doll"))

        with_store(directory, declare)
        was_cut = in_a_process(directory, cut_at) == -signal.SIGKILL
        with_store(directory, change_and_delete)
        was_cut_again = in_a_process(directory, cut_at) == -signal.SIGKILL
        assert in_a_process(directory, 0) == 0

        files = {
            path.name: path.read_text() for path in (directory / "toys").iterdir() if not path.name.startswith(".")
        }
        assert files == {"ball": "red", "kite": "blue"}
        with_store(directory, lambda store: check_settled(store))
        cuts += was_cut + was_cut_again
        if not was_cut and not was_cut_again:
            break
    assert cuts > 15


def check_settled(store: Store) -> None:
    assert is_settled(store)
    assert store.get(toy_key("doll")) is None
