"""The engine's loop with a toy: whatever is done to the object, and wherever a pass is cut short."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.ports import Storage
from controller.engine.reconcile import ReconcileLoop
from state.store import Store
from support.cuts import Cut, Scissors, raise_cut, with_scissors
from support.hand_clock import HandClock
from support.toy_kind import ToyReconciler, a_toy, toy_key, with_content

CONTENTS = st.sampled_from(["red", "green", "blue"])
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), CONTENTS),
        st.tuples(st.just("delete"), st.just("")),
        st.tuples(st.just("scratch"), CONTENTS),
        st.tuples(st.just("pass"), st.integers(0, 14)),
    ),
    max_size=12,
)


def do(store: Store, directory: Path, deed: str, value: str) -> None:
    current = store.get(toy_key())
    if deed == "delete" and current is not None:
        store.delete(toy_key())
    elif deed == "scratch" and (directory / "ball").exists():
        (directory / "ball").write_text(value)
    elif deed == "apply" and current is None:
        store.create(a_toy(content=value))
    elif deed == "apply":
        store.update(with_content(current, value))


def a_pass_cut_short(storage: Storage, toys: ToyReconciler, at: int) -> int:
    """Make a pass that ends at its point number `at`; 0 is no cut. Return how many points it had."""
    scissors = Scissors(at, raise_cut)
    cuttable = with_scissors(storage, scissors, "update", "update_status")
    with contextlib.suppress(Cut):
        ReconcileLoop(with_scissors(toys, scissors, "act", "observe"), cuttable).reconcile(toy_key())
    return scissors.points


@pytest.mark.invariant("R2")
@given(DEEDS)
@settings(max_examples=40, deadline=None)
def test_whatever_happened_and_wherever_passes_were_cut_one_whole_pass_makes_it_right(deeds):
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name, "toys")
        directory.mkdir()
        toys = ToyReconciler(directory)
        store = Store.open(Path(name, "state.db"), HandClock())
        try:
            for deed, value in deeds:
                if deed == "pass":
                    a_pass_cut_short(store, toys, value)
                else:
                    do(store, directory, deed, value)
            a_pass_cut_short(store, toys, 0)
            revision, acts = store.revision(), len(toys.acts)
            a_pass_cut_short(store, toys, 0)

            stored = store.get(toy_key())
            files = {path.name: path.read_text() for path in directory.iterdir() if not path.name.startswith(".")}
            if stored is None:
                assert files == {}
            else:
                assert files == {"ball": stored["spec"]["content"]}
                assert stored["status"]["content"] == stored["spec"]["content"]
            assert (store.revision(), len(toys.acts)) == (revision, acts), "a second plan is not empty"
        finally:
            store.close()


@pytest.mark.invariant("R2")
@pytest.mark.parametrize("deleting", [False, True])
def test_a_pass_may_be_cut_at_every_one_of_its_points(tmp_path, deleting):
    at, points = 0, 0
    while points >= at:
        at += 1
        directory = tmp_path / f"cut-{at}"
        directory.mkdir()
        store, toys = Store.open(directory / "state.db", HandClock()), ToyReconciler(directory)
        store.create(a_toy())
        if deleting:
            a_pass_cut_short(store, toys, 0)
            store.delete(toy_key())

        points = a_pass_cut_short(store, toys, at)
        a_pass_cut_short(store, toys, 0)

        assert (store.get(toy_key()) is None) is deleting
        assert (directory / "ball").exists() is not deleting
        store.close()
    assert at >= 8
