"""What this host has promised to the runs on it, and which job may begin its next run.

A run's promise is in its record, `status.runs[].requests`, and is its own until nothing of it is left on the host.
Between the decision and the record it is held here: first for the job, then for the run, for as long as the object is
the one that it was made from; its record can be stored no later than that. At start all is read from the store and the
run directories. Whose turn it is, `controller/capacity` decides; who may begin is woken, and nobody else.
Invariant: the sum of what is promised is never more than the host has, whoever crashes, stores or ends in between.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from api.kinds import JOB
from api.meta import Document, ObjectKey, read_time
from api.ports import Change, ChangeType, Storage
from api.types.job import Job, Reason, RunState
from controller.capacity import amounts, giving_way, turns
from controller.capacity.amounts import Amounts, Need
from controller.capacity.line import Line, Order, Waiting
from controller.capacity.turns import Promised, Rules
from controller.engine.clock import Clock
from controller.engine.errors import TransientError
from controller.job import promises, queue_words, requests
from controller.job.cordon import Cordon
from controller.job.moments import micros
from controller.job.observed import Admitted, Queued
from controller.job.priorities import Priorities
from controller.job.queue_rules import QueueRules
from controller.job.run_dirs import RunDirs

_WORDS = ('"runs":[{',)


@dataclass(frozen=True, slots=True)
class _Held:
    """A promise to a run; `version` is that of the object that it was decided from, empty when it is on record."""

    uid: str
    version: str
    promise: Promised


@dataclass(slots=True)
class _Leaving:
    """That a run gives way: why, for whom, and whether whoever ends it has heard of it."""

    why: str
    whom: ObjectKey
    is_told: bool = False


class Capacity:
    """Keeps the book; safe to use from several threads."""

    def __init__(
        self,
        allocatable: Callable[[], Amounts],
        storage: Storage,
        dirs: RunDirs,
        clock: Clock,
        wake: Callable[[ObjectKey], None],
        rules: QueueRules,
        waited: Callable[[str, float], None] = lambda _class, _seconds: None,
        node_name: str = "",
    ) -> None:
        """Promise of `allocatable()`, as it is each time; runs are on record in `storage`, and on the host in `dirs`.

        `wake` is called for jobs that may begin a run, or whose run gives way; `waited` is told of which class a job
        began after how many seconds. While the node `node_name` is cordoned, nobody begins.
        """
        self._allocatable = allocatable
        self._storage = storage
        self._dirs = dirs
        self._clock = clock
        self._wake = wake
        self._rules = rules
        self._waited = waited
        self._priorities = Priorities(storage)
        self._cordon = Cordon(storage, node_name)
        self._lock = threading.Lock()
        self._line = Line(Order((0,), rules.ageing_seconds))
        self._granted: dict[ObjectKey, Waiting] = {}
        self._held: dict[str, dict[int, _Held]] | None = None  # By the job's uid and the attempt.
        self._used: dict[str, dict[str, int]] = {}
        self._leaving: dict[tuple[str, int], _Leaving] = {}  # Runs that give way, by uid and attempt.
        self._devices: dict[str, int] = {}
        self._allocatable_last: Amounts = {}
        self._kept_for: Waiting | None = None
        self._last_came = 0

    def ask(self, job: Job, devices: Amounts, *, early: bool = False) -> Admitted | Queued:
        """Say whether a run of `job` may begin; if not, it waits in line from now on, and is woken when it may.

        `devices` is how many this host has of the kinds that the job wants. One that is `early` never waits, and may
        only while nobody does, and if a quarter of all is left.
        """
        priority = self._priorities.of(job)
        with self._lock:
            self._devices |= devices
            freed = self._release(job.meta.uid, lambda held: self._is_unused(job, held))
            allocatable = self._all()
            freed = (*freed, *self._out_if_hopeless(allocatable))
            need = requests.need(job, self._rules.defaults, allocatable)
            since = self._since(job)
            one = Waiting(job.key, job.meta.uid, priority.value, since, need, priority.preempts, priority.class_name)
            if why := queue_words.never(need, allocatable):
                woken = self._out(job.key)
                turn: Admitted | Queued = Queued(Reason.UNSCHEDULABLE, why, one.since, one.priority)
            elif early and not self._has_to_spare(need, allocatable):
                woken, turn = self._out(job.key), Queued(Reason.QUEUED, "it is not its time")
            else:
                woken = self._in(one)
                turn = self._turn(one)
        self._wake_all((*freed, *woken), but=job.key)
        return turn

    def peek(self, job: Job) -> Admitted | Queued:
        """Say how it stands with a job, without letting it wait."""
        with self._lock:
            if one := self._granted.get(job.key) or self._line.get(job.key):
                return self._turn(one)
            allocatable = self._all()
            need = requests.need(job, self._rules.defaults, allocatable)
            known = tuple(each for each in need if each[0] in allocatable)  # Of devices it may not have been told yet.
            if why := queue_words.never(known, allocatable):
                return Queued(Reason.UNSCHEDULABLE, why)
            return Queued(Reason.HOST_CORDONED, self._cordon.why) if self._cordon.why else Admitted()

    def need_of(self, job: Job) -> Need:
        """Return what a run of `job` takes."""
        return requests.need(job, self._rules.defaults, self._allocatable())

    def leave(self, key: ObjectKey) -> None:
        """Know that a job does not want to begin a run now."""
        with self._lock:
            woken = self._out(key)
        self._wake_all(woken)

    def claim(self, job: Job, attempt: int) -> None:
        """Hold what `job` was promised for run `attempt`, until nothing of that is left on the host.

        Raises:
            TransientError: it was promised nothing.
        """
        with self._lock:
            held = self._loaded()
            before = held.get(job.meta.uid, {}).get(attempt)
            one = self._granted.pop(job.key, None)
            if before and one is None:
                held[job.meta.uid][attempt] = replace(before, version=job.meta.resource_version)
                return  # It has it already.
            if one is None or one.uid != job.meta.uid:
                raise TransientError(Reason.QUEUED, f"cannot begin a run of {job.key}: it is not its turn any more")
            now = self._now()
            has_deadline = job.spec.active_deadline_seconds is not None
            promise = Promised(job.key, attempt, one.need, one.priority, one.since, now, has_deadline)
            if before:  # Its record was never stored.
                self._give_back(job.key.namespace, before.promise.need)
            held.setdefault(job.meta.uid, {})[attempt] = _Held(job.meta.uid, job.meta.resource_version, promise)
        ends = (micros(read_time(run.finished_at)) for run in job.status.runs if run.finished_at)
        self._waited(one.class_name, max(0.0, (now - max([one.since, *ends])) / 1_000_000))

    def look_after(self, job: Job) -> None:
        """Know the job as it is now: what runs of it had of which nothing is left is free, and others are woken."""
        with self._lock:
            woken = self._release(job.meta.uid, lambda held: not self._still_has(job, held))
        self._wake_all(woken)

    def forget(self, change: Change) -> tuple[ObjectKey, ...]:
        """Know that a job is gone; no key is due because of it, as who is next is woken."""
        if change.key.kind == JOB.name and change.type is ChangeType.DELETED:
            uid = change.document["metadata"]["uid"]
            with self._lock:
                woken = (*self._release(uid, lambda _held: True), *self._out(change.key, uid))
            self._wake_all(woken)
        return ()

    def reorder(self, _change: Change) -> tuple[ObjectKey, ...]:
        """Know the classes anew; those that wait have the priority that they came with."""
        values = self._priorities.values()
        with self._lock:
            self._line.reorder(values)
            woken = self._decide()
        self._wake_all(woken)
        return ()

    def look_at_node(self, change: Change) -> tuple[ObjectKey, ...]:
        """Know whether the host takes new runs; who was to begin and has not waits again where it does not."""
        with self._lock:
            is_news = self._cordon.changed(change)
            for one in tuple(self._granted.values()) if is_news and self._cordon.why else ():
                self._give_back(one.key.namespace, self._granted.pop(one.key).need)
                self._line.add(one)
            woken = self._decide() if is_news else ()
        self._wake_all(woken)
        return ()

    def why_preempted(self, uid: str, attempt: int) -> str:
        """Say for whom a run gives way; empty if it does not."""
        with self._lock:
            leaving = self._leaving.get((uid, attempt))
            if leaving is None:
                return ""
            leaving.is_told = True
            return leaving.why

    def pending(self) -> dict[str, int]:
        """Return how many jobs wait in line, by the name of their class."""
        found: dict[str, int] = {}
        with self._lock:
            for one in self._line:
                found[one.class_name] = found.get(one.class_name, 0) + 1
        return found

    def promised(self) -> dict[str, int]:
        """Return what is promised in all, those included that are about to begin."""
        with self._lock:
            self._loaded()
            return amounts.total(amounts.need(used) for used in self._used.values())

    def _has_to_spare(self, need: Need, all_: Amounts) -> bool:
        self._loaded()
        free = self._free()
        spare = {name: free[name] - amount // 4 for name, amount in all_.items()}
        return amounts.fits(need, spare) and not len(self._line) and not self._cordon.why

    def _in(self, one: Waiting) -> tuple[ObjectKey, ...]:
        self._loaded()
        granted = self._granted.get(one.key)
        if granted is not None and (granted.uid, granted.need) == (one.uid, one.need):
            return ()
        was = self._line.get(one.key)
        if was == one and self._line.ahead_of(one):
            return ()
        woken = self._out(one.key) if granted is not None else ()
        self._line.add(one)
        return (*woken, *self._decide())

    def _out(self, key: ObjectKey, uid: str | None = None) -> tuple[ObjectKey, ...]:
        granted = self._granted.get(key)
        if granted is not None and uid in (None, granted.uid):
            del self._granted[key]
            self._give_back(key.namespace, granted.need)
            return self._decide()
        waiting = self._line.get(key)
        if waiting is not None and uid in (None, waiting.uid):
            self._line.remove(key)
            return self._decide()
        return ()

    def _out_if_hopeless(self, allocatable: Amounts) -> tuple[ObjectKey, ...]:
        """Have those out of the line that the host, as it has become, has too little for; they are woken to say so."""
        before, self._allocatable_last = self._allocatable_last, allocatable
        if all(allocatable.get(name, 0) >= amount for name, amount in before.items()):
            return ()
        gone = tuple(one.key for one in self._line.beyond(allocatable))
        for key in gone:
            self._line.remove(key)
        return (*gone, *self._decide()) if gone else ()

    def _decide(self) -> tuple[ObjectKey, ...]:
        """Give those their turn whose it is; return whom to wake."""
        held = self._loaded()
        self._leaving = {
            run: each
            for run, each in self._leaving.items()
            if run[0] in held and (each.is_told or self._line.get(each.whom))  # Nobody ends for who has gone.
        }
        if not len(self._line) or self._cordon.why:
            self._kept_for = None
            return ()
        allocatable = self._all()
        rules = Rules(self._rules.reserve_seconds)
        found = turns.decide(self._line, list(self._promises()), allocatable, self._used, self._now(), rules)
        for one in found.begin:
            self._line.remove(one.key)
            self._granted[one.key] = one
            amounts.plus(self._used.setdefault(one.key.namespace, {}), one.need)
        self._kept_for = found.kept_for or found.blocked
        given_way = self._make_way(found.blocked) if self._rules.preemption and found.blocked else ()
        return (*(one.key for one in found.begin), *given_way)

    def _make_way(self, one: Waiting) -> tuple[ObjectKey, ...]:
        if not one.preempts:
            return ()
        held = {(uid, number): each for uid, of_job in self._loaded().items() for number, each in of_job.items()}
        leaving = [held[run].promise for run in self._leaving if run in held]
        running = [each.promise for each in held.values()]
        chosen = giving_way.victims(one, running, self._free(), leaving, self._line.tier)
        by_run = {(each.promise.key, each.promise.attempt): run for run, each in held.items()}
        for run in chosen:
            whom = queue_words.named(one, run.key.namespace)
            why = f"to {whom}, of priority {one.priority}; its own is {run.priority}"
            self._leaving[by_run[run.key, run.attempt]] = _Leaving(why, one.key)
        return tuple(run.key for run in chosen)

    def _turn(self, one: Waiting) -> Admitted | Queued:
        granted = self._granted.get(one.key)
        if granted is not None:
            return Admitted(granted.need, granted.priority, granted.since)
        free, ahead = self._free(), self._line.ahead_of(one)
        if self._cordon.why:
            place = queue_words.place(one, ahead, len(self._line))
            return Queued(Reason.HOST_CORDONED, self._cordon.why, one.since, one.priority, ahead, place)
        why = queue_words.missing(one, free, self._all(), ahead, self._kept_for)
        place = queue_words.place(one, ahead, len(self._line))
        return Queued(queue_words.reason(one.need, free), why, one.since, one.priority, ahead, place)

    def _release(self, uid: str, is_over: Callable[[_Held], bool]) -> tuple[ObjectKey, ...]:
        of_job = self._loaded().get(uid, {})
        over = [attempt for attempt, held in of_job.items() if is_over(held)]
        for attempt in over:
            promise = of_job.pop(attempt).promise
            self._leaving.pop((uid, attempt), None)
            self._give_back(promise.key.namespace, promise.need)
        if not of_job:
            self._loaded().pop(uid, None)
        return self._decide() if over else ()

    def _is_unused(self, job: Job, held: _Held) -> bool:
        """Whether the pass that took a promise failed before there was anything of its run: the job asks again."""
        is_taken_now = job.meta.resource_version == held.version
        return is_taken_now and not self._dirs.is_there(held.uid, held.promise.attempt)

    def _still_has(self, job: Job, held: _Held) -> bool:
        attempt = held.promise.attempt
        on_record = next((run for run in job.status.runs if run.attempt == attempt), None)
        if on_record is not None and on_record.state is not RunState.ENDED:
            return True
        if on_record is None and job.meta.resource_version == held.version:
            return True  # Its record is yet to be stored.
        return self._dirs.is_there(held.uid, attempt)

    def _give_back(self, namespace: str, need: Need) -> None:
        used = self._used[namespace]
        amounts.minus(used, need)
        if not any(used.values()):
            del self._used[namespace]

    def _all(self) -> Amounts:
        return {**self._allocatable(), **self._devices}

    def _free(self) -> Amounts:
        free = dict(self._all())
        for used in self._used.values():
            amounts.minus(free, tuple(used.items()))
        return free

    def _promises(self) -> Iterator[Promised]:
        """Yield those of the runs that nobody has told to end."""
        for uid, of_job in self._loaded().items():
            for attempt, held in of_job.items():
                if (uid, attempt) not in self._leaving:
                    yield held.promise

    def _since(self, job: Job) -> int:
        """Since when it waits: as this book has it, or the job's status; or from now on."""
        known = self._granted.get(job.key) or self._line.get(job.key)
        if known is not None and known.uid == job.meta.uid:
            return known.since
        if job.status.queued_at:
            return micros(read_time(job.status.queued_at))
        self._last_came = max(self._now(), self._last_came + 1)  # Of two that came at the same time, one was first.
        return self._last_came

    def _now(self) -> int:
        return micros(self._clock.now())

    def _loaded(self) -> dict[str, dict[int, _Held]]:
        if self._held is None:
            held: dict[str, dict[int, _Held]] = {}
            present = set(self._dirs.job_uids())
            for document in self._storage.each(JOB.name, words=_WORDS):
                self._load(document, held, has_dirs=document["metadata"]["uid"] in present)
            self._line.reorder(self._priorities.values())
            for promise in (each.promise for of_job in held.values() for each in of_job.values()):
                amounts.plus(self._used.setdefault(promise.key.namespace, {}), promise.need)
            self._held = held  # Once it is whole: what is known of the promises is never half of them.
        return self._held

    def _load(self, document: Document, into: dict[str, dict[int, _Held]], *, has_dirs: bool) -> None:
        uid = document["metadata"]["uid"]
        for promise, has_ended in promises.on_record(document, self._now()):
            if not has_ended or (has_dirs and self._dirs.is_there(uid, promise.attempt)):
                into.setdefault(uid, {})[promise.attempt] = _Held(uid, "", promise)

    def _wake_all(self, keys: tuple[ObjectKey, ...], but: ObjectKey | None = None) -> None:
        for key in dict.fromkeys(keys):
            if key != but:
                self._wake(key)
