from api import crd
from api.kinds import POD
from api.types.job import Job
from api.types.pod import pod_name, pods_of
from support.declared import undeclared
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


def test_a_container_says_that_it_has_a_standard_input_if_its_job_does():
    (plain,), (kept,), (once,) = (
        pods({"attempt": 1}, **spec) for spec in ({}, {"stdin": True}, {"stdin": True, "stdinOnce": True})
    )
    found = [[pod["spec"]["containers"][0].get(name) for name in ("stdin", "stdinOnce")] for pod in (plain, kept, once)]

    assert found == [[None, None], [True, None], [True, True]]


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


def test_a_pod_says_what_its_run_was_promised_and_may_use():
    limits = {"memory": "64Mi", "pids": 5, "nvidia.com/gpu": 1}
    hash_ = Job.model_validate(a_job(resources={"limits": limits})).spec.template_hash()
    run = {"attempt": 1, "state": "Running", "requests": {"cpu": "5m", "pods": "1"}, "priority": 7}

    now, before = pods(
        run | {"templateHash": hash_}, run | {"attempt": 2}, resources={"limits": limits}, priorityClassName="urgent"
    )

    assert now["spec"]["containers"][0]["resources"] == {
        "limits": {"memory": "64Mi", "nvidia.com/gpu": "1"},
        "requests": {"cpu": "5m"},
    }
    assert before["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "5m"}}
    assert (now["spec"]["priority"], now["spec"]["priorityClassName"]) == (7, "urgent")


def test_a_run_with_an_index_says_so_in_its_name_labels_annotations_and_environment():
    run = {"attempt": 7, "index": 3, "indexFailures": 1, "state": "Running"}
    (pod,) = pods(run, completionMode="Indexed", completions=4)

    metadata, (container,) = pod["metadata"], pod["spec"]["containers"]
    assert metadata["name"] == "etl-3-7"
    assert metadata["labels"]["batch.kubernetes.io/job-completion-index"] == "3"
    assert metadata["annotations"] == {
        "batch.kubernetes.io/job-completion-index": "3",
        "batch.kubernetes.io/job-index-failure-count": "1",
    }
    assert container["env"] == [{"name": "JOB_COMPLETION_INDEX", "value": "3"}]


def test_a_pod_has_the_environment_that_its_job_says_and_only_where_the_rest_comes_from():
    key = {"secretKeyRef": {"name": "db", "key": "password", "optional": True}}
    env = [{"name": "A", "value": "b"}, {"name": "EMPTY"}, {"name": "PASSWORD", "valueFrom": key}]
    env_from = [{"prefix": "X_", "secretRef": {"name": "db"}}, {"configMapRef": {"name": "c"}}]
    spec = {"env": env, "envFrom": env_from, "completionMode": "Indexed", "completions": 2}
    hash_ = Job.model_validate(a_job(**spec)).spec.template_hash()

    of_now, of_before = pods(
        {"attempt": 1, "index": 1, "templateHash": hash_}, {"attempt": 2, "index": 1, "templateHash": "other"}, **spec
    )

    index = [{"name": "JOB_COMPLETION_INDEX", "value": "1"}]
    assert of_now["spec"]["containers"][0]["env"] == env + index
    assert of_now["spec"]["containers"][0]["envFrom"] == env_from
    assert of_before["spec"]["containers"][0]["env"] == index
    assert "envFrom" not in of_before["spec"]["containers"][0]


def test_all_that_a_pod_shows_is_described():
    spec = {
        "args": ["x"], "stdin": True, "stdinOnce": True, "priorityClassName": "high", "completions": 2,
        "completionMode": "Indexed", "backoffLimitPerIndex": 1, "resources": {"limits": {"memory": "64Mi"}},
        "env": [{"name": "A", "value": "b"}], "envFrom": [{"configMapRef": {"name": "c"}}],
    }  # fmt: skip
    times = {"startedAt": "2026-01-02T03:04:05Z", "finishedAt": "2026-01-02T03:04:06Z"}
    run = {
        "templateHash": Job.model_validate(a_job(**spec)).spec.template_hash(),
        "index": 0,
        "requests": {"cpu": "5m"},
    }
    ended = {"state": "Ended", "reason": "Error", "message": "m", "exitCode": 137, "signal": 9, **times}

    found = pods(
        {"attempt": 1, **run},
        {"attempt": 2, "state": "Running", **run, **times},
        {"attempt": 3, **run, **ended},
        **spec,
    )

    assert [path for pod in found for path in undeclared(crd.schema_of(POD), pod)] == []
