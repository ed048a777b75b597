"""kill -9 of whoever applies and prunes, at every write; then the next start puts everything right."""

import os
import signal
import traceback
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from api.meta import ObjectKey
from api.objects.verbs import Verbs
from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import Recorder
from controller.manifests.directory import DirectoryFeed
from controller.manifests.loop import ManifestsLoop
from state.store import Store
from support.cuts import Scissors, with_scissors
from support.hand_clock import HandClock
from support.manifests import a_manifest, put

WRITES = ("create", "update", "update_status", "delete")


def live(directory: Path, cut_at: int) -> None:
    """Serve the directory until it has nothing more to do, or until the point `cut_at`."""
    scissors = Scissors(cut_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    clock = HandClock()
    store = Store.open(directory / "state.db", clock)
    Verbs(store, clock).bootstrap()
    cuttable = with_scissors(store, scissors, *WRITES)
    recorder = Recorder(store, clock, EngineMetrics(CollectorRegistry()).events)
    feeds = [DirectoryFeed(directory / "manifests", clock)]
    loop = ManifestsLoop.over(feeds, Verbs(cuttable, clock), cuttable, recorder, clock, CollectorRegistry())
    for _ in range(6):
        clock.advance(loop.step(is_woken=True))
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


def declared(directory: Path) -> dict[str, str]:
    """Return the memory of every job that is there to stay."""
    store = Store.open(directory / "state.db", HandClock())
    items = [item for item in store.list("Job").items if "deletionTimestamp" not in item["metadata"]]
    found = {item["metadata"]["name"]: item["spec"]["resources"]["limits"]["memory"] for item in items}
    store.close()
    return found


@pytest.mark.invariant("R2")
def test_whoever_is_killed_at_any_write_the_next_start_applies_and_prunes_the_rest(tmp_path: Path):
    cuts = 0
    for cut_at in range(1, 100):
        directory = tmp_path / str(cut_at)
        manifests = directory / "manifests"
        for name in ("stays", "changes", "goes", "goes-too"):
            put(manifests / f"{name}.yaml", a_manifest(name, memory="64Mi"))
        first = in_a_process(directory, cut_at)
        put(manifests / "changes.yaml", a_manifest("changes", memory="128Mi"))
        (manifests / "goes.yaml").unlink()
        (manifests / "goes-too.yaml").unlink()
        second = in_a_process(directory, cut_at)
        assert {first, second} <= {0, -signal.SIGKILL}

        assert in_a_process(directory, 0) == 0

        assert declared(directory) == {"stays": "64Mi", "changes": "128Mi"}
        cuts += (first, second).count(-signal.SIGKILL)
        if (first, second) == (0, 0):
            break
    assert cuts >= 8


def test_a_manifest_torn_at_any_byte_prunes_nothing_and_leaves_every_object_valid(tmp_path: Path):
    manifests, clock = tmp_path / "manifests", HandClock()
    text = a_manifest("etl") + "\n---\n" + a_manifest("other")
    store = Store.open(tmp_path / "state.db", clock)
    verbs = Verbs(store, clock)
    verbs.bootstrap()
    recorder = Recorder(store, clock, EngineMetrics(CollectorRegistry()).events)
    put(manifests / "jobs.yaml", text)
    put(manifests / "alone.yaml", a_manifest("alone"))
    feed = DirectoryFeed(manifests, clock)
    loop = ManifestsLoop.over([feed], verbs, store, recorder, clock, CollectorRegistry())
    loop.step(is_woken=True)

    for size in range(0, len(text), 3):
        (manifests / "jobs.yaml").write_text(text[:size])  # Its writer is still at it: it was not closed by him.
        loop.step(is_woken=True)
        clock.advance(0.2)

    names = [
        item["metadata"]["name"] for item in store.list("Job").items if "deletionTimestamp" not in item["metadata"]
    ]
    assert names == ["alone", "etl", "other"]
    assert store.get(ObjectKey("Job", "default", "etl"))["metadata"]["generation"] == 1
    store.close()
