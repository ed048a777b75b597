"""Who has which devices, and what a job that waits for some is told."""

from contextlib import contextmanager

import pytest

from api.errors import Conflict
from api.types.job import Job
from controller.devices.errors import Unusable
from controller.engine.errors import TransientError
from controller.job.observed import DevicesFree, DevicesMissing
from controller.launcher.host_claims import HostClaim, HostClaims
from state.store import Store
from support.cdi import KIND, a_device, a_spec
from support.devices import Host
from support.hand_clock import HandClock
from support.stores import job_key


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "state.db", HandClock())
    yield opened
    opened.close()


@pytest.fixture
def host(tmp_path, store):
    return Host(tmp_path / "runs", store, "0", "1")


def q(*names):
    return tuple(f"{KIND}={name}" for name in names)


def test_a_job_that_wants_none_gets_none_and_nothing_is_looked_at(host):
    host.declare()

    assert host.devices.find(host.add("plain")) == DevicesFree()


def test_what_was_chosen_is_held_before_it_is_on_record(host):
    first, second = host.add("first", zero=1), host.add("second", zero=1)

    assert (host.begin(first), host.begin(second)) == (q("0"), q("1"))


@pytest.mark.invariant("X30")
def test_two_runs_of_one_job_have_devices_of_their_own(host):
    job = host.add("many", zero=1)
    job = host.record(job, 1, host.begin(job), "Running")
    job = host.record(job, 2, host.begin(job, 2), "Running")

    assert [run.devices for run in job.status.runs] == [q("0"), q("1")]
    assert host.devices.find(job).reason == "DevicesUnavailable"
    host.restart()
    assert host.devices.find(job).reason == "DevicesUnavailable"


def test_two_that_looked_at_the_same_moment_do_not_get_the_same(host):
    first, second = host.add("first", zero=2), host.add("second", zero=2)
    both = (host.devices.find(first), host.devices.find(second))

    host.devices.claim(first, 1, both[0].names, both[0].nodes)
    with pytest.raises(TransientError) as error:
        host.devices.claim(second, 1, both[1].names, both[1].nodes)

    assert (
        str(error.value)
        == f"cannot give job/default/second its devices: {KIND}=0 has just been given to job/default/first"
    )
    assert error.value.reason == "DevicesUnavailable"


def test_what_is_on_record_is_held_after_a_restart(host):
    first = host.add("first", zero=1)
    host.record(first, 1, host.begin(first))

    host.restart()

    assert host.begin(host.add("second", zero=1)) == q("1")


def test_what_was_chosen_and_not_recorded_is_free_after_a_restart(host):
    host.begin(host.add("first", zero=2))

    host.restart()

    assert host.begin(host.add("second", zero=2)) == q("0", "1")


def test_what_was_chosen_is_free_once_its_record_cannot_be_stored_any_more(host):
    first = host.add("first", zero=2)
    names = host.begin(first)
    host.store.update(first.to_document() | {"spec": {"command": ["changed"]}})

    assert host.begin(host.add("second", zero=2)) == q("0", "1")
    with pytest.raises(Conflict):
        host.record(first, 1, names)


def test_a_job_is_not_held_up_by_what_was_chosen_for_itself(host):
    first = host.add("first", zero=2)
    host.begin(first)

    assert host.begin(first) == q("0", "1")


def test_an_ended_run_has_its_devices_until_nothing_of_it_is_left(host):
    first, second = host.add("first", zero=2), host.add("second", zero=1)
    names = host.begin(first)
    ended = host.record(host.record(first, 1, names), 1, names, "Ended")
    assert isinstance(host.devices.find(second), DevicesMissing)

    host.dirs.remove(first.meta.uid, 1)
    host.devices.free(ended, 1)

    assert host.devices.find(second).names == q("0")


def test_who_waits_for_that_kind_is_woken_when_devices_are_freed(host):
    first = host.add("first", zero=2)
    recorded = host.record(first, 1, host.begin(first))
    waiting, other = host.add("second", zero=1), host.add("third", other=1)
    for job in (waiting, other):
        host.devices.find(job)

    host.devices.free(recorded, 1)
    host.devices.free(recorded, 1)

    assert host.woken == [waiting.key]


@pytest.mark.invariant("X30")
def test_they_are_woken_too_if_somebody_else_sees_first_that_a_run_is_gone(host):
    first, waiting = host.add("first", zero=2), host.add("second", zero=1)
    names = host.begin(first)
    ended = host.record(host.record(first, 1, names), 1, names, "Ended")
    host.devices.find(waiting)

    host.dirs.remove(first.meta.uid, 1)
    host.devices.find(host.add("third", other=1))
    host.devices.free(ended, 1)

    assert host.woken == [waiting.key]


@pytest.mark.invariant("X31")
@pytest.mark.parametrize("who_looks_first", ["its job", "another job"])
def test_what_a_run_that_is_gone_claims_still_is_free_whoever_sees_first_that_it_is(host, who_looks_first):
    first, second = host.add("first", zero=2), host.add("second", zero=2)
    names = host.begin(first)
    ended = host.record(host.record(first, 1, names), 1, names, "Ended")

    with host.devices.held_on_host(ended, 1, names, host.given[names]):  # Its launcher has not let go of it.
        host.dirs.remove(first.meta.uid, 1)
        if who_looks_first == "another job":
            host.devices.find(host.add("third", other=1))
        host.devices.free(ended, 1)

        assert host.devices.find(second).names == names


def test_what_a_run_of_a_job_that_is_gone_claims_is_not_free(host):
    first = host.add("first", zero=2)
    names = host.begin(first)
    recorded = host.record(first, 1, names, "Running")

    with host.devices.held_on_host(recorded, 1, names, host.given[names]):
        host.store.delete(job_key("first"))

        assert host.devices.find(host.add("second", zero=2)).reason == "DevicesUnavailable"


def test_those_that_are_gone_or_do_not_wait_any_more_take_no_turn_of_who_waits(host):
    first = host.add("first", zero=2)
    recorded = host.record(first, 1, host.begin(first))
    gone, content = [host.add(f"gone-{number}", zero=1) for number in range(8)], host.add("content", zero=1)
    waiting = [host.add(f"waits-{number}", zero=1) for number in range(9)]
    for job in (*gone, content, *waiting):
        host.devices.find(job)

    for job in gone:
        host.store.delete(job.key)
    host.devices.find(changed(host, content, {}))
    host.devices.free(recorded, 1)

    assert host.woken == [job.key for job in waiting[:8]]


def test_a_job_that_wants_another_kind_by_now_is_woken_for_that_one_in_its_turn(host):
    first = host.add("first", zero=1)
    recorded = host.record(first, 1, host.begin(first))
    early, late = host.add("early", other=1), host.add("late", zero=2)
    for job in (early, late):
        host.devices.find(job)

    host.devices.find(changed(host, early, {"example.com/zero": 2}))
    host.devices.free(recorded, 1)

    assert host.woken == [early.key, late.key]


@pytest.mark.parametrize("end", ["suspended", "deleted"])
def test_a_job_that_is_suspended_or_deleted_is_woken_for_no_devices(host, end):
    first = host.add("first", zero=2)
    recorded = host.record(first, 1, host.begin(first))
    waiting = host.add("waits", zero=1)
    host.devices.find(waiting)

    if end == "suspended":
        document = waiting.to_document()
        document["spec"]["suspend"] = True
        host.store.update(document)
    else:
        document = waiting.to_document()
        document["metadata"]["finalizers"] = ["example.com/kept"]
        host.store.update(document)
        host.store.delete(waiting.key)
    host.observer().observe(host.job("waits"))
    host.devices.free(recorded, 1)

    assert host.woken == []


def changed(host, job, devices):
    document = job.to_document()
    document["spec"]["resources"]["limits"] = devices
    return Job.model_validate(host.store.update(document))


def test_devices_of_a_job_that_is_gone_are_free(host):
    first = host.add("first", zero=2)
    host.record(first, 1, host.begin(first))

    host.store.delete(job_key("first"))

    assert host.begin(host.add("second", zero=2)) == q("0", "1")


def message(host, **wanted):
    found = host.devices.find(host.add("waits", **wanted))
    assert isinstance(found, DevicesMissing)
    return found.reason, found.message


def test_who_waits_is_told_who_has_them(host):
    first = host.add("first", zero=1)
    host.record(first, 1, host.begin(first))

    told = f"2 of {KIND} wanted, 1 free of 2, held by job/default/first"
    assert message(host, zero=2) == ("DevicesUnavailable", told)


def test_who_wants_more_than_there_are_is_told_that_it_never_runs_here(host):
    told = f"3 of {KIND} wanted, this host has 2: it can never run here: ask for at most 2, or run it on another host"

    assert message(host, zero=3) == ("DevicesInsufficient", told)


def test_who_wants_a_kind_that_is_not_there_is_told_where_was_looked(host):
    reason, told = message(host, gpu=1)

    where = f"no CDI spec in /etc/cdi declares it: {KIND} is declared there"
    assert (reason, told) == ("DevicesNotFound", f"1 of example.com/gpu wanted, and this host has none: {where}")


def test_what_is_wrong_with_specs_is_told_to_who_lacks_a_device(host):
    host.inventory = type(host.inventory)({}, ("cannot use /etc/cdi/b.json: it is no JSON",), ("/etc/cdi",))

    assert message(host, zero=1)[1].endswith("; cannot use /etc/cdi/b.json: it is no JSON")


def test_a_device_that_cannot_be_used_is_passed_over(host):
    host.files.unplugged.add("/dev/0")

    assert host.begin(host.add("first", zero=1)) == q("1")
    reason, told = message(host, zero=2)
    assert reason == "DevicesUnusable"
    assert told.endswith("there is no /dev/0 on this host: is its driver loaded?")


def test_devices_that_no_run_can_have_together_are_refused_together(host):
    from controller.devices import cdi
    from controller.devices.inventory import merge
    from support.cdi import a_node

    clash = [a_device(n, a_node("/dev/test/x", f"/dev/{n}", minor=int(n), major=1)) for n in ("0", "1")]
    host.inventory = merge([[cdi.parse(a_spec(*clash), "/etc/cdi/a.json")]])

    reason, told = message(host, zero=2)

    assert (reason, "two specs want different things at /dev/test/x" in told) == ("DevicesUnusable", True)


def test_a_run_whose_device_is_gone_is_told_so(host):
    host.declare("1")

    assert "no CDI spec in /etc/cdi declares it" in host.devices.why_gone(q("0"))
    assert host.devices.why_gone(q("1")) == ""
    with pytest.raises(Unusable, match=f"cannot use device {KIND}=0"):
        host.devices.fit(q("0"))


def test_a_device_is_not_free_by_another_name_that_a_spec_has_for_it_since(host):
    first = host.add("first", zero=1)
    recorded = host.record(first, 1, host.begin(first))

    for _ in range(2):
        host.declare(a="0", b="1")
        assert host.devices.find(host.job("first")).names == q("a", "b")[1:]
        host.restart()
    assert message(host, zero=2) == (
        "DevicesUnavailable",
        f"2 of {KIND} wanted, 1 free of 2, held by job/default/first",
    )
    assert recorded.status.runs[0].device_nodes == ("c1:0",)


def test_a_device_whose_path_leads_to_one_that_is_held_is_not_free(host):
    host.files.same["/dev/link"] = "/dev/0"
    host.begin(host.add("first", zero=1))

    host.declare("link", "1")

    assert host.begin(host.add("second", zero=1)) == q("1")


def test_a_run_whose_devices_name_is_another_device_before_it_starts_is_given_up(host):
    first = host.add("first", zero=1)
    host.begin(first)

    host.declare(**{"0": "1", "1": "0"})

    told = host.devices.why_gone(q("0"), ("c1:0",))
    assert told == f"cannot use device {KIND}=0: that name is another device's by now: it was c1:0, and is c1:1"
    assert host.devices.why_gone(q("1"), ("c1:0",)) == ""


def test_who_waits_for_another_kind_of_the_same_nodes_is_woken_too(host):
    first = host.add("first", zero=2)
    recorded = host.record(first, 1, host.begin(first))
    host.declare("0", "1", kind="example.com/other")
    waiting = host.add("second", other=1)
    assert isinstance(host.devices.find(waiting), DevicesMissing)

    host.devices.free(recorded, 1)

    assert host.woken == [waiting.key]


def test_a_record_without_nodes_holds_what_its_names_are(host):
    first = host.add("first", zero=1)
    host.record(first, 1, host.begin(first), nodes=())
    host.restart()

    assert host.begin(host.add("second", zero=1)) == q("1")


FOREIGN = HostClaim("another-1", "/there", "job/default/theirs", ("c1:0",))
"""A run of another daemon, which has what is /dev/0 here."""


@contextmanager
def held_by_another_daemon(host, claim=FOREIGN):
    host.files.look("/dev/0")
    with HostClaims(str(host.dirs_root.with_name("claims"))).claimed(claim, lambda _live: ""):
        yield


@pytest.mark.invariant("X31")
def test_what_a_run_of_another_daemon_has_is_not_free(host):
    with held_by_another_daemon(host):
        beside = host.devices.find(host.add("one", zero=1))
        all_of_them = host.devices.find(host.add("both", zero=2))
    after = host.devices.find(host.job("both"))

    assert beside.names == q("1")
    assert all_of_them == DevicesMissing(
        "DevicesUnavailable",
        f"2 of {KIND} wanted, 1 free of 2, held by job/default/theirs of the daemon of /there",
        is_elsewhere=True,
    )
    assert after.names == q("0", "1")


@pytest.mark.invariant("X31")
def test_what_another_daemon_was_faster_to_start_is_neither_claimed_nor_started(host):
    job = host.add("etl", zero=2)
    found = host.devices.find(job)
    with held_by_another_daemon(host):
        with pytest.raises(TransientError, match="just been given to job/default/theirs of the daemon of /there"):
            host.devices.claim(job, 1, found.names, found.nodes)
        with (
            pytest.raises(TransientError, match=f"{KIND}=0 is held by job/default/theirs of the daemon of /there"),
            host.devices.held_on_host(job, 1, found.names, found.nodes),
        ):
            raise AssertionError("it was started")
        gone = host.devices.why_gone(found.names, found.nodes)

    assert gone == f"{KIND}=0 is held by job/default/theirs of the daemon of /there"
    assert host.devices.why_gone(found.names, found.nodes) == ""


def test_what_its_own_run_claims_is_no_other_daemons(host):
    job = host.add("etl", zero=1)
    names = host.begin(job)
    job = host.record(job, 1, names)
    nodes = host.given[names]

    with host.devices.held_on_host(job, 1, names, nodes):
        during = host.devices.why_gone(names, nodes)
        with host.devices.held_on_host(job, 1, names, nodes):
            other = host.devices.find(host.add("other", zero=2))
    host.devices.free(job, 1)

    assert during == ""
    assert "held by job/default/etl" in other.message
    assert "daemon" not in other.message


def test_a_claim_of_a_run_that_is_over_holds_nothing_here_though_its_launcher_has_not_let_go_of_it(host):
    first = host.add("first", zero=2)
    recorded = host.record(first, 1, host.begin(first))
    nodes = host.given[q("0", "1")]

    with host.devices.held_on_host(recorded, 1, q("0", "1"), nodes):
        host.devices.free(recorded, 1)
        while_it_is_kept = host.devices.find(host.add("second", zero=2))
        live = host.claims.live()

    assert (while_it_is_kept, len(live)) == (DevicesFree(q("0", "1"), nodes), 1)


def test_a_run_without_devices_claims_nothing(host):
    with host.devices.held_on_host(host.add("plain"), 1, (), ()) as path:
        assert path is None
