"""Whatever becomes of jobs and runs: who has looked all the time knows the same as who looks for the first time."""

import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import Conflict
from api.meta import ObjectKey
from api.types.job import Job
from controller.job import held
from controller.job.held import Held
from controller.job.memory_place import MemoryPlace
from controller.job.run_dirs import RunDirs
from support.builders import a_job_document
from support.stores import a_store, an_event, job_key

JOBS = ("a", "b")
EVENTS = st.lists(
    st.tuples(  # The last says whether somebody looks after it.
        st.sampled_from(["begin", "begin", "end", "remove", "tell", "delete", "noise", "compact"]),
        st.sampled_from(JOBS),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=25,
)


class World:
    def __init__(self, root, store):
        self.store, self.dirs, self.count = store, RunDirs(root / "runs", MemoryPlace(())), 0
        self.holding, self.told = Counter(), Counter()
        self.held = self.opened(lambda run: self.told.update([run]))

    def opened(self, wake=lambda _run: None):
        return Held(
            self.store,
            self.dirs,
            ('"packageCache"',),
            lambda run: run.get("packageCache"),
            lambda freed: [ObjectKey("Run", each.uid, str(each.attempt)) for each in freed],
            wake,
        )

    def job(self, name):
        return self.store.get(job_key(name)) or self.store.create(a_job_document(name))

    def happen(self, what, name, number):
        job = self.job(name)
        runs = job.get("status", {}).get("runs", [])
        of = runs[number % len(runs)] if runs else None
        uid = job["metadata"]["uid"]
        match what:
            case "begin":
                self.begin(job, runs, is_too_late=number == 3)
            case "end" if of is not None:
                of["state"] = "Ended"
                self.store.update_status(job | {"status": {"runs": runs}})
            case "remove" | "tell" if of is not None and of["state"] == "Ended":
                self.dirs.remove(uid, of["attempt"])
                if what == "tell":
                    with self.held.alone():
                        self.held.let_go(uid, of["attempt"])
            case "delete":
                self.store.delete(job_key(name))
            case "noise":
                for _ in range(number * 2):
                    self.count += 1
                    self.store.create(an_event(f"e.{self.count}"))
            case "compact":
                self.store.compact(keep=number)

    def begin(self, job, runs, *, is_too_late):
        attempt = max([run["attempt"] for run in runs], default=0) + 1
        uid = job["metadata"]["uid"]
        with self.held.alone():
            is_known = (uid, attempt) in {(each.uid, each.attempt) for each in self.held.known()}
            self.held.hold(Job.model_validate(job), attempt, "it")
        self.holding[ObjectKey("Run", uid, str(attempt))] += not is_known
        self.dirs.make(uid, attempt)
        if is_too_late:
            self.store.update(job | {"spec": {"command": [str(attempt)], "args": [job["metadata"]["resourceVersion"]]}})
        run = {"attempt": attempt, "state": "Running", "packageCache": "it"}
        try:
            self.store.update_status(job | {"status": {"runs": [*runs, run]}})
        except Conflict:
            assert is_too_late

    def look(self, book):
        with book.alone():
            return {(each.uid, each.attempt) for each in book.all()}


@settings(max_examples=50, deadline=None)
@given(EVENTS)
def test_who_looks_all_the_time_knows_what_is_held_now_and_each_that_let_go_is_told_once(events):
    most = mock.patch.object(held, "_MOST_CHANGES", 4)
    with most, tempfile.TemporaryDirectory() as root, a_store(Path(root)) as store:
        world = World(Path(root), store)
        for each in events:
            *event, is_looked_at = each
            world.happen(*event)
            if is_looked_at:
                assert world.look(world.held) == world.look(world.opened())
        holding = world.look(world.held)

        assert holding == world.look(world.opened())
        world.told.update(ObjectKey("Run", uid, str(attempt)) for uid, attempt in holding)
        assert world.told == world.holding
