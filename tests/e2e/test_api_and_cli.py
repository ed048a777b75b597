"""`rnx` and the HTTP API against a real daemon: what a user types, what comes back, and with which exit status."""

import json
import os
import signal
import stat
import subprocess
import threading

import httpx
import pytest
import yaml

from api.client import Client
from api.client_transport import Address
from api.client_watch import Watch
from api.kinds import JOB
from support import host
from support.daemon import RNX, a_daemon, a_manifest

pytestmark = pytest.mark.needs_root

JOBS = "/apis/runwright.dev/v1alpha1/namespaces/default/jobs"


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon("jobs.workers=8") as daemon:
        yield daemon
    host.assert_as_before(before)


@pytest.fixture(scope="module")
def http(daemon):
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(daemon.socket)), base_url="http://daemon") as client:
        yield client


def done(result, code=0):
    """What a command printed, once it ended with `code`."""
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    return result.stdout


# A user's day with rnx


def test_a_manifest_is_applied_seen_described_and_deleted(daemon, tmp_path):
    path = tmp_path / "jobs.yaml"
    documents = [
        a_manifest("day-one", command=["echo", "hello"]),
        a_manifest("day-two", command=["sh", "-c", "exit 3"]),
    ]
    documents[1]["spec"]["backoffLimit"] = 0
    path.write_text(yaml.safe_dump_all(documents))

    assert "created" in done(daemon.rnx("apply", "-f", str(path)))
    assert "unchanged" in done(daemon.rnx("apply", "-f", str(path)))
    done(daemon.rnx("wait", "job/day-one", "--for", "condition=Complete", "--timeout", "20s"))
    done(daemon.rnx("wait", "job/day-two", "--for", "condition=Failed", "--timeout", "20s"))

    table = done(daemon.rnx("get", "jobs"))
    assert table.splitlines()[0].split()[0] == "NAME"
    assert any(line.split()[:1] == ["day-one"] and "Succeeded" in line for line in table.splitlines())
    assert json.loads(done(daemon.rnx("get", "job", "day-two", "-o", "json")))["status"]["runs"][0]["exitCode"] == 3
    assert yaml.safe_load(done(daemon.rnx("get", "job/day-one", "-o", "yaml")))["spec"]["command"] == ["echo", "hello"]
    assert "job" in done(daemon.rnx("get", "jobs", "-o", "name"))
    described = done(daemon.rnx("describe", "job", "day-two"))
    assert "exited with 3" in described
    assert "Started" in described
    assert "exited with 3" in done(daemon.rnx("explain", "job/day-two"))
    daemon.until("its failure is an event", lambda: "JobFailed" in done(daemon.rnx("events")))
    assert done(daemon.rnx("logs", "job/day-one")) == "hello\n"

    assert "deleted" in done(daemon.rnx("delete", "-f", str(path)))
    assert daemon.rnx("get", "job", "day-one").returncode == 1
    assert "day-one" not in daemon.jobs()


@pytest.mark.parametrize(
    ("script", "code", "printed"),
    [("echo out; echo err >&2", 0, "out\n"), ("exit 42", 42, ""), ("kill -9 $$", 137, "")],
)
def test_job_run_prints_what_the_job_prints_and_ends_as_it_ends(daemon, script, code, printed):
    result = daemon.rnx("job", "run", "--", "sh", "-c", script)

    assert done(result, code) == printed
    assert code != 0 or "err\n" in result.stderr


def test_job_run_takes_uploads_limits_and_environment(daemon, tmp_path):
    (tmp_path / "script.sh").write_text("cat x; echo $WORD; cd data && cat x\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x").write_text("uploaded\n")

    result = daemon.rnx(
        "job", "run", "--upload", str(tmp_path / "script.sh"), "--upload-dir", str(tmp_path / "data"), "--env", "WORD=ü",
        "--max-memory=64", "--max-cpu=50%", "--max-runtime=30", "--name", "uploads", "sh", "script.sh",
    )  # fmt: skip

    assert done(result) == "uploaded\nü\nuploaded\n"
    receipt = daemon.status("uploads")["runs"][0]["receipt"]
    assert (receipt["memoryBytes"], receipt["cpuMillicpu"], receipt["deadlineSeconds"]) == (64 << 20, 500, 30)


def test_job_run_that_takes_too_long_or_cannot_run_says_so_by_its_exit_status(daemon):
    late = daemon.rnx("job", "run", "--max-runtime=1", "sleep", "60")
    nothing = daemon.rnx("job", "run", "no-such-program")

    assert (late.returncode, nothing.returncode) == (124, 127)
    assert "deadline" in late.stderr
    assert "no-such-program" in nothing.stderr


def test_job_run_that_is_interrupted_stops_its_job(daemon):
    command = [str(RNX), "--root", str(daemon.root), "job", "run", "--name", "interrupted", "sleep", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        daemon.running("interrupted")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)

    assert process.returncode == 130
    assert daemon.ended("interrupted")["reason"] == "Stopped"


def test_a_detached_job_is_listed_asked_for_stopped_and_deleted(daemon):
    name = done(daemon.rnx("job", "run", "-d", "sh", "-c", "echo begun; exec sleep 60")).strip().removeprefix("job/")
    daemon.printed(name, "begun")

    assert name in done(daemon.rnx("job", "list"))
    assert "Running" in done(daemon.rnx("job", "status", name))
    assert done(daemon.rnx("job", "log", name)) == "begun\n"
    done(daemon.rnx("job", "stop", name))
    assert daemon.status(name)["reason"] == "Stopped"
    done(daemon.rnx("job", "delete", name))
    assert name not in daemon.jobs()


def test_what_is_wrong_is_told_at_once_with_field_paths(daemon, tmp_path):
    wrong = a_manifest("wrong", command=[], backoffLimit=-1, env=[{"name": "JOB_ID"}])
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))

    refused = daemon.rnx("apply", "-f", str(tmp_path / "wrong.yaml"))

    assert refused.returncode == 1
    for field in ("spec.command", "spec.backoffLimit", "spec.env[0].name"):
        assert field in refused.stderr, refused.stderr
    assert "wrong" not in daemon.jobs()


def test_where_nobody_listens_rnx_says_what_to_do(tmp_path):
    result = subprocess.run(
        [str(RNX), "--root", str(tmp_path), "get", "jobs"], capture_output=True, text=True, check=False
    )

    assert result.returncode == 3
    assert "is runwrightd running?" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_verbs_of_kubectl_that_change_jobs_go_through_dry_runs_unharmed(daemon):
    before = daemon.jobs().keys()

    tried = daemon.rnx("apply", "-f", "-", "--dry-run=server", stdin=json.dumps(a_manifest("dry")))

    assert "dry run" in done(tried)
    assert daemon.jobs().keys() == before


# The API as any client of Kubernetes speaks it


def test_the_socket_is_roots_alone(daemon):
    about = daemon.socket.stat()

    assert stat.S_IMODE(about.st_mode) == 0o600
    assert about.st_uid == os.geteuid()
    assert stat.S_IMODE(daemon.socket.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez"])
def test_health_is_told_in_plain_text(http, path):
    answer = http.get(path)

    assert (answer.status_code, answer.text.strip().splitlines()[-1].split()[-1][:2]) == (200, "ok")


def test_an_object_is_created_replaced_patched_and_deleted(daemon, http):
    document = a_manifest("verbs", suspend=True)
    created = http.post(JOBS, json=document)
    assert created.status_code == 201
    stale = created.json()
    assert http.put(f"{JOBS}/verbs", json={**stale, "metadata": {**stale["metadata"], "uid": "x"}}).status_code == 409
    fresh = daemon.until(
        "it rests", lambda: (j := daemon.get(JOB, "verbs"))["status"].get("phase") == "Suspended" and j
    )
    replaced = http.put(f"{JOBS}/verbs", json={**fresh, "spec": {**fresh["spec"], "backoffLimit": 1}})
    assert (replaced.status_code, replaced.json()["metadata"]["generation"]) == (200, 2)

    again = http.put(f"{JOBS}/verbs", json=stale)
    assert (again.status_code, again.json()["reason"]) == (409, "Conflict")
    merge = {"content-type": "application/merge-patch+json"}
    patched = http.patch(f"{JOBS}/verbs", content=json.dumps({"spec": {"backoffLimit": 2}}), headers=merge)
    assert patched.json()["spec"]["backoffLimit"] == 2
    assert http.get(f"{JOBS}/verbs").json()["metadata"]["uid"] == stale["metadata"]["uid"]

    assert http.delete(f"{JOBS}/verbs").status_code == 200


def test_errors_are_status_objects(http):
    missing = http.get(f"{JOBS}/nobody")
    twice = [http.post(JOBS, json=a_manifest("twice", suspend=True)) for _ in range(2)][1]
    invalid = http.post(JOBS, json=a_manifest("invalid", command=[], backoffLimit=-1))
    torn = http.post(JOBS, content=b'{"kind": "Jo', headers={"content-type": "application/json"})

    assert [(answer.status_code, answer.json()["reason"]) for answer in (missing, twice, invalid, torn)] == [
        (404, "NotFound"),
        (409, "AlreadyExists"),
        (422, "Invalid"),
        (400, "BadRequest"),
    ]
    assert {answer.json()["kind"] for answer in (missing, twice, invalid, torn)} == {"Status"}
    causes = {cause["field"] for cause in invalid.json()["details"]["causes"]}
    assert causes == {"spec.command", "spec.backoffLimit"}


def test_a_watch_tells_a_jobs_whole_life_in_order(daemon):
    client = Client(Address.of_socket(daemon.socket))
    seen: list[tuple[str, str]] = []
    ready, finished = threading.Event(), threading.Event()

    def follow():
        for event in Watch(client, JOB, "default"):
            name, phase = event.document["metadata"]["name"], event.document.get("status", {}).get("phase", "")
            if name == "before-the-life":
                ready.set()
            if name == "life":
                seen.append((event.type, phase))
                if event.type == "DELETED":
                    break
        finished.set()

    thread = threading.Thread(target=follow)
    thread.start()
    daemon.apply("before-the-life", suspend=True)
    assert ready.wait(10)
    daemon.shell("life", "exit 0")
    daemon.ended("life")
    daemon.delete("life")
    assert finished.wait(10)
    thread.join()
    client.close()

    kinds, phases = [kind for kind, _ in seen], [phase for _, phase in seen]
    assert kinds[0] == "ADDED"
    assert kinds[-1] == "DELETED"
    assert set(kinds[1:-1]) == {"MODIFIED"}
    order = [phase for number, phase in enumerate(phases) if number == 0 or phase != phases[number - 1]]
    assert order[-2:] == ["Succeeded", "Terminating"] or order[-1] == "Succeeded"
    assert order.index("Pending") < order.index("Succeeded")


def test_a_run_is_seen_as_a_pod_with_its_log(daemon, http):
    daemon.shell("podded", "echo from a pod; exit 5")
    daemon.ended("podded")

    pod = http.get("/api/v1/namespaces/default/pods/podded-1").json()
    log = http.get("/api/v1/namespaces/default/pods/podded-1/log").text

    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (pod["status"]["phase"], terminated["exitCode"], terminated["reason"]) == ("Failed", 5, "Error")
    assert log == "from a pod\n"
    assert pod["metadata"]["ownerReferences"][0]["name"] == "podded"


def test_what_happens_to_a_run_is_told_as_its_pods_events_and_its_jobs(daemon, http):
    daemon.shell("told", "trap 'exit 3' TERM; echo ready; sleep 60 & wait", backoffLimit=0)
    daemon.printed("told", "ready")
    pod = http.get("/api/v1/namespaces/default/pods/told-1").json()
    assert http.delete("/api/v1/namespaces/default/pods/told-1").status_code == 200
    daemon.ended("told")

    def told(kind, uid):
        selector = f"involvedObject.kind={kind},involvedObject.uid={uid}"
        found = http.get("/api/v1/namespaces/default/events", params={"fieldSelector": selector}).json()["items"]
        return {event["reason"] for event in found}

    wanted = {"Started", "Killing", "PodDeleted"}
    daemon.until("the pod's events", lambda: told("Pod", pod["metadata"]["uid"]) == wanted)
    daemon.until("the job's events", lambda: told("Job", pod["metadata"]["ownerReferences"][0]["uid"]) > wanted)
