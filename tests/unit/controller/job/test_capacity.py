"""Who may begin a run, who waits, and what is promised meanwhile."""

from dataclasses import replace

import pytest

from api.ports import Change, ChangeType
from controller.engine.errors import TransientError
from controller.job.observed import Admitted, Queued
from support.capacity import Host, key


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path, ageing_seconds=3600)
    yield made
    made.close()


def deleted(host, name):
    job = host.job(name)
    last = host.store.delete(job.key)
    return Change(ChangeType.DELETED, 1, job.key, last, last)


def test_who_finds_room_begins_with_what_it_requests(host):
    host.add("a", cpu="1500m", memory="64Mi")

    turn = host.ask("a")

    assert dict(turn.need) == {"cpu": 1500, "memory": 64 << 20, "pods": 1}
    assert dict(host.capacity.promised()) == dict(turn.need)


def test_who_finds_none_is_told_what_is_missing_and_its_place(host):
    host.add_class("batch", -5)
    for name, class_name in (("a", ""), ("b", ""), ("c", "batch")):
        host.add(name, class_name=class_name, cpu=3)
    host.begin("a")

    b, c = host.ask("b"), host.ask("c")

    assert (b.reason, c.reason, b.ahead, c.ahead) == ("InsufficientCPU", "InsufficientCPU", 0, 1)
    assert (c.message, c.place) == (
        "it requests 3 of cpu, and 1 of 4 are free",
        "place 2 of 2 in the queue, priority -5 of class batch",
    )
    assert host.capacity.pending() == {"": 1, "batch": 1}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [({"memory": "1Gi"}, "InsufficientMemory"), ({"ephemeral-storage": "1Gi"}, "InsufficientEphemeralStorage")],
)
def test_what_is_missing_is_the_reason(host, wanted, reason):
    host.add("a", **wanted)
    host.add("b", **wanted)
    host.begin("a")

    assert host.ask("b").reason == reason


def test_no_more_runs_are_active_than_there_are_places(host):
    host.room["pods"] = 1
    host.add("a")
    host.add("b")
    host.begin("a")

    b = host.ask("b")

    assert b.reason == "HostBusy"
    assert b.message == "1 runs are active on this host, jobs.max_active is 1"


def test_what_can_never_be_is_said_and_keeps_nobody_waiting(host):
    host.add("huge", cpu=64)
    host.add("small", cpu=4)

    huge = host.ask("huge")

    assert huge.reason == "Unschedulable"
    assert huge.message == (
        "it can never run here: it requests 64 of cpu, and this host has 4 for runs in all: "
        "lower spec.resources.requests.cpu"
    )
    assert isinstance(host.ask("small"), Admitted)


def test_the_end_of_a_run_wakes_those_who_may_begin_and_nobody_else(host):
    for number in range(6):
        host.add(f"j{number}", cpu=2)
    host.begin("j0")
    host.begin("j1")
    for number in range(2, 6):
        assert isinstance(host.ask(f"j{number}"), Queued)

    host.end("j0", removed=False)
    host.capacity.look_after(host.job("j0"))
    assert host.names_woken() == []  # Something of it is left.
    host.remove("j0")

    assert host.names_woken() == ["j2"]
    assert isinstance(host.ask("j2"), Admitted)
    assert isinstance(host.ask("j3"), Queued)


def test_who_was_given_a_turn_and_leaves_makes_room_for_the_next(host):
    for name in "abc":
        host.add(name, cpu=4)
    host.begin("a")
    host.ask("b")
    host.ask("c")
    host.end("a")
    assert host.names_woken() == ["b"]

    host.capacity.leave(key("b"))

    assert host.names_woken() == ["c"]


def test_a_job_that_is_gone_makes_room_and_is_out_of_the_queue(host):
    for name in "abc":
        host.add(name, cpu=4)
    host.begin("a")
    host.ask("b")
    host.ask("c")

    host.capacity.forget(deleted(host, "b"))
    assert host.capacity.pending() == {"": 1}
    host.capacity.forget(deleted(host, "a"))

    assert host.names_woken() == ["c"]
    assert dict(host.capacity.promised()) == {"cpu": 4000, "pods": 1}


def test_nobody_begins_whose_turn_it_is_not(host):
    host.add("a", cpu=4)
    host.add("b", cpu=4)
    host.begin("a")
    host.ask("b")

    with pytest.raises(TransientError) as error:
        host.capacity.claim(host.job("b"), 1)

    assert error.value.reason == "Queued"


@pytest.mark.invariant("Q1")
def test_after_a_restart_what_runs_have_is_read_from_their_records(host):
    host.add("a", cpu=3)
    host.add("b", cpu=3)
    host.begin("a")

    host.restart()

    assert isinstance(host.ask("b"), Queued)
    host.end("a")
    assert isinstance(host.ask("b"), Admitted)


@pytest.mark.invariant("Q1")
def test_after_a_restart_what_was_promised_and_not_recorded_is_free(host):
    host.add("a", cpu=3)
    host.add("b", cpu=3)
    job = host.job("a")
    host.ask("a")
    host.hold(job)

    host.restart()

    assert isinstance(host.ask("b"), Admitted)


def test_a_run_that_has_ended_and_left_something_has_its_promise_after_a_restart_too(host):
    host.add("a", cpu=3)
    host.add("b", cpu=3)
    host.begin("a")
    host.end("a", removed=False)

    host.restart()

    assert isinstance(host.ask("b"), Queued)


def test_what_was_held_and_never_recorded_is_free_when_the_job_has_changed(host):
    host.add("a", cpu=3)
    host.add("b", cpu=3)
    job = host.job("a")
    host.ask("a")
    host.hold(job)
    host.ask("b")
    changed = job.to_document()
    changed["spec"]["suspend"] = True
    host.store.update(changed)

    host.capacity.look_after(host.job("a"))
    assert host.names_woken() == []  # Its directory is there: whoever begins it again finds it.
    host.remove("a")

    assert host.names_woken() == ["b"]


def test_the_place_in_the_queue_survives_a_restart(host):
    for name in ("running", "first", "second"):
        host.add(name, cpu=4)
    host.begin("running")
    for name in ("first", "second"):
        host.clock.advance(1)
        turn = host.ask(name)
        host.store.update_status(
            host.job(name).to_document()
            | {"status": {"queuedAt": f"2026-01-02T03:04:0{turn.queued_at // 10**6 % 10}Z"}}
        )
    host.clock.advance(60)

    host.restart()

    assert (host.ask("second").ahead, host.ask("first").ahead, host.ask("second").ahead) == (0, 0, 1)


def test_a_request_that_is_not_said_is_the_limit_but_no_more_than_there_is(host):
    job = host.add("a")
    document = job.to_document()
    document["spec"]["resources"] = {"limits": {"cpu": "64", "memory": "8Mi"}}
    host.store.update(document)

    turn = host.ask("a")

    assert dict(turn.need) == {"cpu": 4000, "memory": 8 << 20, "pods": 1}


def test_a_lower_run_gives_way_where_the_settings_allow_it(tmp_path):
    host = Host(tmp_path, preemption=True)
    host.add_class("urgent", 100)
    host.add_class("patient", 50, preemptionPolicy="Never")
    host.add("low", cpu=4)
    host.add("waits", class_name="patient", cpu=4)
    host.add("now", class_name="urgent", cpu=4)
    uid = host.begin("low").meta.uid

    host.ask("waits")
    assert host.names_woken() == []
    host.ask("now")

    assert host.names_woken() == ["low"]
    assert host.capacity.why_preempted(uid, 1) == "to job/default/now, of priority 100; its own is 0"
    host.end("low")
    assert host.names_woken() == ["now"]
    host.close()


def test_nobody_is_told_the_names_of_another_namespaces_jobs(tmp_path):
    host = Host(tmp_path, preemption=True)
    host.add_class("urgent", 100)
    host.add("runs", "theirs", cpu=3)
    uid = host.begin("runs", "theirs").meta.uid
    host.add("first", "secret", "urgent", cpu=4)
    host.add("second", "theirs", cpu=1)

    host.ask("first", "secret")
    second = host.ask("second", "theirs")

    assert second.message == "what it needs is free, and is kept for a job of another namespace, which comes first"
    assert host.capacity.why_preempted(uid, 1) == "to a job of another namespace, of priority 100; its own is 0"
    host.close()


def test_none_gives_way_where_the_settings_do_not_allow_it(host):
    host.add_class("urgent", 100)
    host.add("low", cpu=4)
    host.add("now", class_name="urgent", cpu=4)
    uid = host.begin("low").meta.uid

    host.ask("now")

    assert host.capacity.why_preempted(uid, 1) == ""


def test_whose_turn_it_was_first_keeps_it_when_somebody_better_comes(tmp_path):
    host = Host(tmp_path, preemption=True)
    host.add_class("urgent", 100)
    host.add("low", cpu=4)
    host.ask("low")
    host.add("now", class_name="urgent", cpu=4)

    assert isinstance(host.ask("now"), Queued)
    assert isinstance(host.ask("low"), Admitted)
    host.close()


def test_a_class_that_is_the_default_is_that_of_jobs_that_name_none(host):
    host.add_class("usual", 7, globalDefault=True)
    host.add("a")

    assert host.ask("a").priority == 7


def test_a_job_keeps_the_priority_that_it_came_with_when_another_class_becomes_the_default(host):
    job = host.add("a")
    assert host.ask("a").priority == 0
    host.store.update_status(job.to_document() | {"status": {"priority": 0}})

    host.add_class("usual", 50, globalDefault=True)

    assert host.ask("a").priority == 0


@pytest.mark.invariant("Q1")
def test_a_record_that_cannot_be_read_hides_no_other_after_a_restart(host):
    bad = host.add("a-bad")
    host.store.update_status(bad.to_document() | {"status": {"runs": [{"attempt": "one", "state": "Running"}]}})
    for name in ("b", "c"):
        host.add(name, cpu=2)
        host.begin(name)
    host.add("d", cpu=2)

    host.restart()

    assert isinstance(host.ask("d"), Queued)
    assert dict(host.capacity.promised()) == {"cpu": 4000, "pods": 3}


@pytest.mark.invariant("Q1")
def test_a_book_that_could_not_be_read_to_its_end_is_read_again(host, monkeypatch):
    for name in ("a", "b"):
        host.add(name, cpu=2)
        host.begin(name)
    host.add("c", cpu=2)
    host.restart()
    each = host.store.each

    def broken(kind, namespace=None, **how):
        yield next(iter(list(each(kind, namespace, **how))))
        raise OSError("the disk failed")

    monkeypatch.setattr(host.store, "each", broken)
    with pytest.raises(OSError, match="the disk failed"):
        host.ask("c")
    monkeypatch.undo()

    assert isinstance(host.ask("c"), Queued)


def test_a_job_whose_pass_failed_after_it_took_its_promise_may_ask_again(host):
    host.room["pods"] = 1
    job = host.add("a")
    assert isinstance(host.ask("a"), Admitted)
    host.capacity.claim(job, 1)

    assert isinstance(host.ask("a"), Admitted)
    assert host.capacity.promised() == {"pods": 1}


def test_nobody_begins_what_would_have_to_end_again_for_who_waits_for_a_run_to_give_way(tmp_path):
    host = Host(tmp_path, preemption=True, reserve_seconds=60)
    host.add_class("urgent", 100)
    host.add("old", cpu=3)
    host.begin("old")
    host.clock.advance(1200)
    host.add("now", class_name="urgent", cpu=4)
    host.ask("now")
    host.add("small", cpu=1)

    assert isinstance(host.ask("small"), Queued)
    host.close()


def test_a_run_does_not_end_for_a_job_that_has_left_the_queue(tmp_path):
    host = Host(tmp_path, preemption=True)
    host.add_class("urgent", 100)
    host.add("low", cpu=4)
    uid = host.begin("low").meta.uid
    host.add("now", class_name="urgent", cpu=4)
    host.ask("now")

    host.capacity.leave(key("now"))

    assert host.capacity.why_preempted(uid, 1) == ""
    host.close()


def test_a_run_that_was_told_to_end_ends_even_if_who_it_was_for_has_left(tmp_path):
    host = Host(tmp_path, preemption=True)
    host.add_class("urgent", 100)
    host.add("low", cpu=4)
    uid = host.begin("low").meta.uid
    host.add("now", class_name="urgent", cpu=4)
    host.ask("now")
    told = host.capacity.why_preempted(uid, 1)

    host.capacity.leave(key("now"))

    assert host.capacity.why_preempted(uid, 1) == told != ""
    host.close()


def test_what_can_never_be_of_a_device_names_the_field_that_says_so(host):
    job = host.add("a")
    document = job.to_document()
    document["spec"]["resources"] = {"limits": {"nvidia.com/gpu": 2}}
    host.store.update(document)

    turn = host.capacity.ask(host.job("a"), {"nvidia.com/gpu": 1})

    assert turn.message.endswith("lower spec.resources.limits.nvidia.com/gpu")


def test_who_can_never_begin_any_more_has_no_place_in_the_queue(host):
    gpu = "nvidia.com/gpu"
    for name, count in (("has-one", 1), ("wants-both", 2), ("after-it", 1)):
        document = host.add(name).to_document()
        document["spec"]["resources"] = {"limits": {gpu: count}, "requests": {"cpu": 3}}
        host.store.update(document)
    assert isinstance(host.capacity.ask(host.job("has-one"), {gpu: 2}), Admitted)
    assert host.capacity.ask(host.job("wants-both"), {gpu: 2}).ahead == 0

    turn = host.capacity.ask(host.job("after-it"), {gpu: 1})

    assert (turn.ahead, turn.place) == (0, "place 1 of 1 in the queue, priority 0")
    assert host.names_woken() == ["wants-both"]
    assert host.capacity.ask(host.job("wants-both"), {gpu: 1}).reason == "Unschedulable"


def test_who_waits_behind_what_can_never_be_any_more_begins(host):
    host.room["memory"] = 2 << 30
    for name, wanted in (("has-some", {"cpu": 1}), ("too-big", {"cpu": 4, "memory": "2Gi"}), ("small", {"cpu": 3})):
        host.add(name, **wanted)
    host.begin("has-some")
    assert host.ask("too-big").reason == "InsufficientCPU"
    assert "is kept for job/default/too-big" in host.ask("small").message

    host.room["memory"] = 1 << 30

    assert isinstance(host.ask("small"), Admitted)


def test_on_a_cordoned_host_too_it_is_said_that_a_job_can_never_begin(host):
    host.add("huge", cpu=64)
    host.cordon(closed=True)

    assert host.ask("huge").reason == "Unschedulable"
    assert host.capacity.peek(host.job("huge")).reason == "Unschedulable"


def test_a_job_of_many_runs_is_promised_each_of_them_apart(host):
    host.room["pods"] = 2
    host.add("many", cpu=1)
    host.begin("many", attempt=1)
    host.begin("many", attempt=2)

    assert host.ask("many").reason == "HostBusy"
    assert host.capacity.promised()["pods"] == 2

    host.end("many", attempt=1)
    host.restart()
    assert host.capacity.promised()["pods"] == 1
    host.begin("many", attempt=3)
    assert host.capacity.promised() == {"cpu": 2000, "pods": 2}


# A host that takes no new runs


def test_nobody_begins_on_a_cordoned_host_and_all_do_when_it_is_uncordoned(host):
    for name in ("a", "b"):
        host.add(name, cpu=1)
    host.cordon(closed=True)

    a, b = host.ask("a"), host.ask("b")
    assert [turn.reason for turn in (a, b)] == ["HostCordoned", "HostCordoned"]
    assert a.message == "this host is cordoned, so no run begins on it: rnx uncordon opens it again"
    assert (a.place, b.ahead) == ("place 1 of 1 in the queue, priority 0", 1)
    assert host.names_woken() == []

    host.cordon(closed=False)
    assert host.names_woken() == ["a", "b"]
    assert isinstance(host.ask("a"), Admitted)


def test_who_was_to_begin_and_has_not_waits_again_and_what_it_was_promised_is_free(host):
    host.add("a", cpu=1)
    host.add("b", cpu=1)
    host.begin("b")
    assert isinstance(host.ask("a"), Admitted)

    host.cordon(closed=True)

    with pytest.raises(TransientError, match="not its turn any more"):
        host.capacity.claim(host.job("a"), 1)
    assert host.ask("a").reason == "HostCordoned"
    assert host.capacity.promised()["cpu"] == 1000  # What runs goes on.


def test_a_cordon_is_known_after_a_restart_also_to_who_only_asks_how_it_stands(host):
    host.add("a", cpu=1)
    host.cordon(closed=True)
    host.restart()

    assert host.capacity.peek(host.job("a")).reason == "HostCordoned"
    assert host.ask("a").reason == "HostCordoned"


def test_on_a_cordoned_host_no_run_gives_way(host):
    host.rules = replace(host.rules, preemption=True)
    host.restart()
    host.add_class("urgent", 1000)
    host.add("low", cpu=4)
    host.add("high", class_name="urgent", cpu=4)
    low = host.begin("low")
    host.cordon(closed=True)

    assert host.ask("high").reason == "HostCordoned"
    assert host.capacity.why_preempted(low.meta.uid, 1) == ""


def test_another_hosts_node_says_nothing_of_this_one(host):
    host.add("a", cpu=1)
    host.cordon(closed=True, node="other")

    assert isinstance(host.ask("a"), Admitted)


def ask_early(host, name):
    return host.capacity.ask(host.job(name), {}, early=True)


def test_a_run_is_made_ready_early_of_all_but_the_last_quarter_of_anything(host):
    host.room["pods"] = 4
    for name in ("a", "b", "c", "d"):
        host.add(name)
    turns = [ask_early(host, name) for name in ("a", "b", "c", "d")]

    assert [type(turn) for turn in turns] == [Admitted, Admitted, Admitted, Queued]
    assert isinstance(host.ask("d"), Admitted)


def test_one_that_may_not_be_early_does_not_wait_in_line(host):
    host.add("a", memory="1000Mi")

    assert isinstance(ask_early(host, "a"), Queued)
    assert sum(host.capacity.pending().values()) == 0
    assert isinstance(host.ask("a"), Admitted)


def test_while_somebody_waits_nobody_is_early(host):
    host.add("half", cpu=2)
    host.add("waits", cpu=4)
    host.add("early")
    host.begin("half")
    before = ask_early(host, "early")
    host.capacity.leave(host.job("early").key)
    host.ask("waits")

    assert isinstance(before, Admitted)
    assert isinstance(ask_early(host, "early"), Queued)


def test_on_a_cordoned_host_nobody_is_early(host):
    host.room["pods"] = 10
    host.add("a")
    host.cordon(closed=True)

    assert isinstance(ask_early(host, "a"), Queued)
