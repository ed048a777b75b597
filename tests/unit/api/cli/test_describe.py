"""`rnx describe`, `explain` and `events` on the real API."""

import json

import pytest

from api.cli.describe import title_of
from api.kinds import CONFIG_MAP, EVENT, JOB, NETWORK, RESOURCE_QUOTA, RUNTIME, SECRET
from support.api_server import condition_of, run_status
from support.objects import a_job, a_runtime
from support.secret_objects import PASSWORD, a_secret, b64, shows


def an_event(name: str, reason: str, about: str = "etl", **fields: object) -> dict:
    return {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "reason": reason, "message": f"{reason}!",
        "involvedObject": {"kind": "Job", "namespace": "default", "name": about},
        "type": "Warning" if reason == "OOMKilled" else "Normal", "lastTimestamp": "2026-01-01T00:00:00Z",
    } | fields  # fmt: skip


def a_failed_job(live):
    limits = {"limits": {"memory": "64Mi", "cpu": "500m"}}
    spec = {"env": [{"name": "A", "value": "1"}], "resources": limits, "command": ["sh", "-c", "exit 3"]}
    live.create(JOB, a_job("etl", activeDeadlineSeconds=60, **spec))
    live.create(EVENT, an_event("e2", "OOMKilled", lastTimestamp="2026-01-01T00:00:09Z"))
    live.create(EVENT, an_event("e1", "Started"))
    live.create(EVENT, an_event("e3", "Started", about="other"))
    live.set_status(
        JOB, "etl", phase="Failed", reason="OOMKilled", message="it used all of its 64Mi",
        conditions=[condition_of("Failed", "OOMKilled")], runs=[run_status("Ended", exit_code=137, reason="OOMKilled")],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ({"count": 3, "sizeBytes": 1536}, "3 files, 1.5 KiB, of run 2; rnx job download etl"),
        ({"count": 1, "sizeBytes": 6, "leftOut": "2 (it is no file)"},
         "1 file, 6 B, of run 2; not kept: 2 (it is no file); rnx job download etl"),
        ({"count": 0, "sizeBytes": 0, "leftOut": "1 (full)"}, "0 files, 0 B, of run 2; not kept: 1 (full)"),
    ],
)  # fmt: skip
def test_what_was_kept_of_a_job_is_told_and_how_to_fetch_it(rnx, live, kept, told):
    live.create(JOB, a_job("etl"))
    assert "Kept:" not in rnx("describe", "job", "etl").out
    live.set_status(JOB, "etl", phase="Succeeded", artifacts={"attempt": 2, "files": [], **kept})

    assert [line.split(maxsplit=1)[1] for line in rnx("describe", "job", "etl").lines if "Kept:" in line] == [told]


def test_a_job_is_described_with_its_limits_runs_conditions_and_events(rnx, live):
    a_failed_job(live)

    out = rnx("describe", "job", "etl").out

    for line in (
        "Name:             etl",
        "Phase:            Failed (OOMKilled)",
        "Message:          it used all of its 64Mi",
        "Command:          sh -c 'exit 3'",
        "Limits:           cpu 500m, memory 64Mi, deadline 60s",
        "  A=1",
    ):
        assert f"{line}\n" in out
    assert (
        out.index("Runs:")
        < out.index("Conditions:")
        < out.index("Events:")
        < out.index("Started")
        < out.index("OOMKilled!")
    )
    assert "137" in out


def test_what_the_newest_run_was_really_held_to_is_shown_whatever_the_job_says(rnx, live):
    live.create(JOB, a_job("etl"))
    receipt = {"cpuMillicpu": 1500, "memoryBytes": 64 * 2**20, "pids": 512}
    live.set_status(JOB, "etl", runs=[run_status("Ended") | {"receipt": receipt}])

    out = rnx("describe", "job", "etl").out

    assert "Limits:           <none>\nEnforced:         cpu 1500m, memory 64.0 MiB, pids 512\n" in out


def test_a_job_whose_runs_have_no_receipt_is_not_said_to_be_held_to_anything(rnx, live):
    a_failed_job(live)

    assert "Enforced" not in rnx("describe", "job", "etl").out


@pytest.mark.parametrize(
    ("limit", "failed", "said"), [(0, 1, "0 of 0"), (2, 3, "2 of 2"), (2, 1, "1 of 2"), (6, 0, "0 of 6")]
)
def test_no_more_retries_are_said_to_be_used_than_there_are(rnx, live, limit, failed, said):
    live.create(JOB, a_job("etl", backoffLimit=limit))
    live.set_status(JOB, "etl", failed=failed)

    assert f"Retries:          {said} used\n" in rnx("describe", "job", "etl").out


def test_other_kinds_are_described_field_by_field(rnx, live):
    live.create(RUNTIME, a_runtime("python-3.11", versions=["1.0.0", "latest"]))
    live.set_status(RUNTIME, "python-3.11", observedGeneration=1,
                    versions=[{"version": "1.0.0", "state": "Installed", "path": "/opt/x"}])  # fmt: skip

    out = rnx("describe", "runtime/python-3.11").out

    assert "Versions:         1.0.0, latest\n" in out
    assert "Observed Generation: 1\n" in out
    assert "    - Version:        1.0.0\n      State:          Installed\n" in out


def test_one_that_is_not_there_is_told_beside_the_others(rnx, live):
    a_failed_job(live)

    said = rnx("describe", "job", "nope", "etl")

    assert said.code == 1
    assert '"nope" not found' in said.err
    assert "Name:             etl" in said.out


def test_events_are_listed_oldest_first(rnx, live):
    a_failed_job(live)

    lines = rnx("events", "--for", "job/etl").lines

    assert lines[0].split()[:2] == ["LAST", "SEEN"]
    assert [line.split()[-1] for line in lines[1:]] == ["Started!", "OOMKilled!"]
    assert rnx("events", "--types", "warning", "--no-headers").lines[0].split()[-1] == "OOMKilled!"


def test_what_happened_to_a_run_is_listed_once_and_as_its_pods_when_asked_for(rnx, live):
    pod = {"apiVersion": "v1", "kind": "Pod", "name": "etl-1", "uid": "u-1"}
    job = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Job", "namespace": "default", "name": "etl"}
    live.create(EVENT, an_event("etl.1", "Started", related=pod, involvedObject=job))

    assert [line.split()[-2] for line in rnx("events", "--no-headers").lines] == ["Job/etl"]
    assert [line.split()[-2] for line in rnx("events", "--no-headers", "--for", "pod/etl-1").lines] == ["Pod/etl-1"]


def test_repeated_events_say_how_often(rnx, live):
    live.create(EVENT, an_event("e1", "BackOff", count=4, firstTimestamp="2026-01-01T00:00:00Z"))

    assert "(x4 over " in rnx("events").out


def test_events_can_be_watched(live, started):
    live.create(EVENT, an_event("e1", "Started"))
    watching = started("events", "-w", "--no-headers")
    assert watching.line().split()[-1] == "Started!"

    live.create(EVENT, an_event("e2", "OOMKilled"))

    assert watching.line().split()[-1] == "OOMKilled!"
    assert watching.interrupted().code == 130


def test_an_explanation_is_the_servers(rnx, live):
    live.create(JOB, a_job("etl"))
    live.host.explanations["job/default/etl"] = {
        "object": "job/default/etl", "summary": {"phase": "Pending", "reason": "RuntimeNotReady"},
        "reasons": ["python-3.11 is being installed"], "plan": [], "sandbox": [], "checkAgainSeconds": 5.0,
    }  # fmt: skip

    assert rnx("explain", "job/etl").lines == [
        "job/default/etl: Pending (RuntimeNotReady)",
        "Why:",
        "  - python-3.11 is being installed",
        "Next: nothing to do; it is looked at again in 5 s",
    ]
    assert json.loads(rnx("explain", "job", "etl", "-o", "json").out) == live.host.explanations["job/default/etl"]


def test_a_field_is_explained_without_a_server(rnx, live):
    live.stop()

    said = rnx("explain", "job.spec.resources.limits.memory")
    live.start()

    assert "FIELD: memory <Quantity>" in said.lines


def test_the_server_says_its_version(rnx, live):
    assert rnx("version").lines[1].startswith("Server Version: v1.32.0+runwright.")


@pytest.mark.invariant("S24")
def test_a_secret_is_described_by_the_sizes_of_its_values(rnx, live):
    last = {"kubectl.kubernetes.io/last-applied-configuration": f'{{"data":{{"password":"{b64(PASSWORD)}"}}}}'}
    live.create(SECRET, a_secret(metadata={"annotations": last}, data={"password": b64(PASSWORD), "a": ""}))

    said = rnx("describe", "secret", "db")

    assert not shows(said.out)
    assert "Type:             Opaque" in said.lines
    assert ["Data:", "  a: 0 bytes", f"  password: {len(PASSWORD)} bytes"] == said.lines[-4:-1]
    assert shows(rnx("get", "secret", "db", "-o", "yaml").out)
    assert not shows(rnx("get", "secret", "-o", "wide").out)


def test_what_is_shown_and_not_stored_has_fields_that_are_explained(rnx, live):
    assert "FIELD: exitCode <integer>" in rnx("explain", "pod.status.containerStatuses.state.terminated.exitCode").out
    assert "ENUM: Applied, Pending, Invalid, Conflict, Unreadable" in rnx("explain", "manifests.state").out


def test_what_nothing_is_done_for_is_not_explained_but_described(rnx, live):
    said = rnx("explain", "pod/etl-1")

    assert said.code == 2
    assert "cannot explain pod/etl-1: nothing is to be done for it: use rnx describe pod/etl-1" in said.err


def test_the_host_is_described_as_a_node(rnx, live):
    listed = rnx("get", "nodes", "-o", "name").out.strip()

    out = rnx("describe", listed).out

    assert listed == "node/testhost"
    assert "Name:             testhost" in out
    assert "Ready   True" in out


@pytest.mark.parametrize(
    ("field", "title"),
    [
        ("systemUUID", "System UUID"),
        ("bootID", "Boot ID"),
        ("HTTPPort", "HTTP Port"),
        ("kernelVersion", "Kernel Version"),
    ],
)
def test_names_of_fields_are_titles_with_abbreviations_in_one_piece(field, title):
    assert title_of(field) == title


def test_a_job_that_runs_after_others_shows_how_far_each_is(rnx, live):
    live.create(JOB, a_job("load", after=[{"job": "extract"}, {"job": "check", "condition": "Failed"}]))
    met = {"job": "extract", "condition": "Complete", "state": "Met"}
    live.set_status(JOB, "load", phase="Pending", reason="WaitingForJobs", after=[met])

    lines = [line.strip() for line in rnx("describe", "job", "load").lines]

    assert lines[lines.index("After:") + 1 :][:2] == ["job/extract Complete: Met", "job/check Failed: Waiting"]


def test_a_job_shows_its_volumes_and_what_was_kept_of_its_files(rnx, live):
    mounts = [{"name": "data"}, {"name": "models", "mountPath": "/m", "readOnly": True}]
    live.create(JOB, a_job("etl", volumeMounts=mounts, artifacts=["out/**", "*.csv"]))
    before = rnx("describe", "job", "etl").lines
    live.set_status(JOB, "etl", artifacts={"attempt": 2, "count": 7, "sizeBytes": 2048, "leftOut": "2 (it is no file)"})

    after = rnx("describe", "job", "etl").lines

    at = after.index("Volumes:")
    assert after[at + 1 : at + 5] == [
        "  data at /volumes/data",
        "  models at /m, to read only",
        "Artifacts:        'out/**', '*.csv'",
        "Kept:             7 files, 2.0 KiB, of run 2; not kept: 2 (it is no file); rnx job download etl",
    ]
    assert not [line for line in before if line.startswith("Kept")]


def test_what_a_network_refused_is_shown_of_a_job_and_of_the_network(rnx, live):
    refusal = {"source": "10.0.0.2", "sourceJob": "etl", "destination": "192.0.2.1", "protocol": "tcp", "port": 443}
    told = {"refused": 7, "refusals": [{**refusal, "count": 5, "lastTime": "2026-01-01T00:00:00Z"}]}
    live.create(JOB, a_job("etl"))
    live.set_status(JOB, "etl", **told)
    live.create(NETWORK, {"apiVersion": NETWORK.api_version, "kind": "Network", "metadata": {"name": "a"}, "spec": {}})
    live.set_status(NETWORK, "a", **told)

    for target in ("job/etl", "network/a"):
        shown = " ".join(rnx("describe", target).out.split())
        assert "Refused: 7 packets, the last of them: LAST TIMES FROM TO PROTOCOL PORT" in shown
        assert "5 10.0.0.2 (job/etl) 192.0.2.1 tcp 443" in shown


def test_what_was_told_of_refusals_is_shown_before_the_counters_were_read(rnx, live):
    told = {"source": "10.0.0.2", "destination": "192.0.2.1", "protocol": "tcp", "port": 443, "count": 5}
    live.create(NETWORK, {"apiVersion": NETWORK.api_version, "kind": "Network", "metadata": {"name": "a"}, "spec": {}})
    live.set_status(NETWORK, "a", refused=0, refusals=[told | {"lastTime": "2026-01-01T00:00:00Z"}])

    shown = " ".join(rnx("describe", "network", "a").out.split())

    assert "Refused: 5 packets, the last of them: LAST TIMES FROM TO PROTOCOL PORT" in shown
    assert "Refusals:" not in shown


def test_that_there_is_nothing_is_said_with_where(rnx):
    assert rnx("describe", "jobs", "-n", "far").err == "No resources found in far namespace\n"
    assert rnx("describe", "jobs", "-A").err == rnx("describe", "runtimes").err == "No resources found\n"


def test_a_type_of_event_that_there_is_not_is_refused(rnx):
    said = rnx("events", "--types", "Wrning")

    assert (said.code, 'there are no events of type "Wrning": use Normal or Warning' in said.err) == (2, True)
    assert rnx("events", "--types", "warning,Normal").code == 0


def test_keys_that_people_chose_are_shown_as_they_are(rnx, live):
    live.create(
        CONFIG_MAP,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c1"},
         "data": {"my_key": "1", "fooBar": "2", "a.b": "3", "plain": "4"}, "immutable": True},
    )  # fmt: skip
    quota = {"count/jobs.runwright.dev": "5", "requests.cpu": "2", "pods": "3"}
    live.create(
        RESOURCE_QUOTA,
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q1"}, "spec": {"hard": quota}},
    )

    config_map, shown = rnx("describe", "cm", "c1").out, rnx("describe", "quota", "q1").out

    assert all(f"\n  {key}:" in config_map for key in ("a.b", "fooBar", "my_key", "plain"))
    assert "Immutable:" in config_map
    assert all(f"  {key}:" in shown for key in quota)


def test_where_a_job_is_in_its_network_is_described_with_its_ports(rnx, live):
    wanted = {"name": "bridge", "aliases": ["db"], "ports": [{"containerPort": 8080}]}
    live.create(JOB, a_job("srv", network=wanted))
    before = rnx("describe", "job", "srv").out

    ports = [{"containerPort": 8080, "hostPort": 38081, "protocol": "TCP"}]
    where = {"name": "bridge", "address": "10.213.0.2", "names": ["srv", "db"], "ports": ports}
    live.set_status(JOB, "srv", runs=[run_status("Running") | {"network": where}])
    then, wide = rnx("describe", "job", "srv").out, rnx("get", "job", "srv", "-o", "wide").out

    assert "Network:          bridge, names db\n" in before
    assert "Ports:            ? -> 8080/tcp\n" in before
    assert "Network:          bridge, 10.213.0.2, names srv db\n" in then
    assert "Ports:            38081 -> 8080/tcp\n" in then
    assert "10.213.0.2" in wide
    assert "38081 -> 8080/tcp" in wide

    live.client.merge_patch(JOB, "default", "srv", {"spec": {"network": {"name": "web"}}})
    moved = rnx("describe", "job", "srv").out
    assert "Network:          web, names db\n" in moved  # Where its last run was is no place in that one.
    assert "Ports:            ? -> 8080/tcp\n" in moved


@pytest.mark.parametrize("about", ["etl", "jobs", "nonsense"])
def test_events_are_of_an_object_and_not_of_a_word(rnx, about):
    said = rnx("events", "--for", about)

    assert (said.code, f'--for: cannot read "{about}" as KIND/NAME: write it as job/etl' in said.err) == (2, True)
