from api.types.job import Job
from api.types.pod import pod_name, pods_of
from support.objects import a_job


def pods(*runs, **spec):
    document = a_job(
        metadata={"namespace": "default", "uid": "u1", "resourceVersion": "7", "labels": {"a": "b"}}, **spec
    )
    return pods_of(Job.model_validate(document | {"status": {"runs": list(runs)}}), "host-1")


def test_each_run_is_a_pod_of_the_job():
    first, second = pods({"attempt": 1, "state": "Ended", "exitCode": 1}, {"attempt": 2, "state": "Running"})

    assert [first["metadata"]["name"], second["metadata"]["name"]] == ["etl-1", pod_name("etl", 2)]
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert first["metadata"]["labels"] == {"a": "b", "runwright.dev/job-name": "etl"}
    owner = first["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("Job", "etl", "u1", True)


def test_the_phase_follows_the_run():
    found = pods(
        {"attempt": 1, "state": "Pending"},
        {"attempt": 2, "state": "Running"},
        {"attempt": 3, "state": "Ended", "exitCode": 0},
        {"attempt": 4, "state": "Ended", "exitCode": 137, "reason": "OOMKilled", "signal": 9},
    )

    assert [pod["status"]["phase"] for pod in found] == ["Pending", "Running", "Succeeded", "Failed"]
    states = [pod["status"]["containerStatuses"][0]["state"] for pod in found]
    assert [next(iter(state)) for state in states] == ["waiting", "running", "terminated", "terminated"]
    assert (states[3]["terminated"]["reason"], states[3]["terminated"]["exitCode"]) == ("OOMKilled", 137)
    assert [pod["status"]["containerStatuses"][0]["ready"] for pod in found] == [False, True, False, False]


def test_a_pod_has_every_condition_that_clients_wait_for():
    found = pods(
        {"attempt": 1, "state": "Pending"},
        {"attempt": 2, "state": "Running", "startedAt": "2026-01-02T03:04:05Z"},
        {"attempt": 3, "state": "Ended", "exitCode": 0, "finishedAt": "2026-01-02T03:04:06Z"},
    )

    said = [{each["type"]: each["status"] for each in pod["status"]["conditions"]} for pod in found]
    assert list(said[0]) == ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
    assert [list(each.values()) for each in said] == [
        ["True", "False", "False", "False"],
        ["True"] * 4,
        ["True", "True", "False", "False"],
    ]
    ready = found[2]["status"]["conditions"][-1]
    assert (ready["lastTransitionTime"], ready["reason"]) == ("2026-01-02T03:04:06Z", "PodCompleted")


def test_a_pod_has_what_typed_clients_insist_on():
    (pod,) = pods(
        {"attempt": 1, "state": "Running", "runtime": "python-3.11@1.0.0", "startedAt": "2026-01-02T03:04:05Z"}
    )

    status = pod["status"]["containerStatuses"][0]
    assert {"name", "image", "imageID", "ready", "restartCount"} <= status.keys()
    assert pod["spec"]["containers"][0]["image"] == "python-3.11@1.0.0"
    assert pod["spec"]["nodeName"] == "host-1"
    assert pod["status"]["startTime"] == "2026-01-02T03:04:05Z"
