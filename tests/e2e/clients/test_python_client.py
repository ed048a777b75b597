"""Kubernetes' own Python client against a real daemon: typed objects, custom objects, watches, logs, exec, ports."""

import contextlib
import gc
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from kubernetes import client, config, utils, watch
from kubernetes.client.exceptions import ApiException, ConflictException
from kubernetes.stream import portforward, stream

from support.served import GROUP, VERSION, a_shell_job, a_space

# The client leaves its WebSockets to the garbage collector, and those of connections that it had to itself.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

JOBS = (GROUP, VERSION)
SERVER = """
use strict; use IO::Socket::IP;
my $s = IO::Socket::IP->new(LocalHost => "127.0.0.1", LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die "$@";
$| = 1; print "listening\\n";
while (my $c = $s->accept) { my $b; while (sysread($c, $b, 4096)) { syswrite($c, "<$b>") } close $c }
"""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def api(kubeconfig):
    with config.new_client_from_config(str(kubeconfig)) as api:
        yield api
        api.rest_client.pool_manager.clear()
    gc.collect()


@pytest.fixture(scope="module")
def core(api):
    return client.CoreV1Api(api)


@pytest.fixture(scope="module")
def custom(api):
    return client.CustomObjectsApi(api)


@pytest.fixture(scope="module")
def held(served, custom):
    """The pod of a run that goes on, and listens on a port."""
    job = a_shell_job("held", 'echo begun; exec perl -e "$SERVER"', env=[{"name": "SERVER", "value": SERVER}])
    custom.create_namespaced_custom_object(*JOBS, "default", "jobs", job)
    served.printed("held", "listening")
    return "held-1"


@pytest.fixture
def space(served):
    return a_space(served, f"python-{next(_numbers)}")


def finished(served, custom, name, script, **spec):
    custom.create_namespaced_custom_object(*JOBS, "default", "jobs", a_shell_job(name, script, **spec))
    served.ended(name)
    return f"{name}-1"


def until(function, type_, *arguments, **options):
    """Yield the events of a watch, up to the first of this type."""
    watching = watch.Watch()
    for event in watching.stream(function, *arguments, **options):
        yield event
        if event["type"] == type_:
            watching.stop()


def replace_as_clients_do(custom, jobs, name, **spec):
    """Replace what was read, and read again where somebody wrote meanwhile, as the controller does."""
    while True:
        read = custom.get_namespaced_custom_object(*jobs, name)
        with contextlib.suppress(ConflictException):
            return custom.replace_namespaced_custom_object(*jobs, name, read | {"spec": read["spec"] | spec})


# What a client asks first


def test_the_version_and_who_am_i(api):
    assert client.VersionApi(api).get_code().git_version.startswith("v1.32.0+runwright.")
    review = client.AuthenticationV1Api(api).create_self_subject_review({})
    assert (review.status.user_info.username, "admins" in review.status.user_info.groups) == ("boss", True)


def test_groups_and_resources_are_discovered(api):
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    resources = {resource.name for resource in client.CoreV1Api(api).get_api_resources().resources}

    assert {"runwright.dev", "events.k8s.io", "rbac.authorization.k8s.io", "authorization.k8s.io"} <= groups
    assert {"pods", "pods/log", "pods/exec", "pods/portforward", "configmaps", "secrets", "namespaces"} <= resources


def test_an_access_review_is_answered(api):
    attributes = {"verb": "create", "group": GROUP, "resource": "jobs", "namespace": "default"}
    review = client.AuthorizationV1Api(api).create_self_subject_access_review(
        {"spec": {"resourceAttributes": attributes}}
    )

    assert review.status.allowed is True


def test_a_role_and_its_binding_are_typed_objects(api, space):
    rbac = client.RbacAuthorizationV1Api(api)
    rule = client.V1PolicyRule(verbs=["get"], api_groups=[GROUP], resources=["jobs"])
    rbac.create_namespaced_role(space, client.V1Role(metadata=client.V1ObjectMeta(name="looker"), rules=[rule]))

    assert rbac.read_namespaced_role("looker", space).rules[0].verbs == ["get"]


# Typed objects


def test_a_namespace_is_made_changed_and_deleted(core):
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="python-ns")))
    patched = core.patch_namespace("python-ns", {"metadata": {"labels": {"team": "data"}}})
    assert (patched.status.phase, patched.metadata.labels["team"]) == ("Active", "data")

    core.delete_namespace("python-ns")
    revision = patched.metadata.resource_version
    selected = {"field_selector": "metadata.name=python-ns", "resource_version": revision, "timeout_seconds": 20}
    seen = [event["type"] for event in until(core.list_namespace, "DELETED", **selected)]
    assert seen[-1] == "DELETED"
    with pytest.raises(ApiException, match="Not Found"):
        core.read_namespace("python-ns")


def test_config_maps_and_secrets_are_created_replaced_and_listed(core, space):
    made = core.create_namespaced_config_map(
        space, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="settings"), data={"a": "1"})
    )
    made.data["b"] = "2"
    core.replace_namespaced_config_map("settings", space, made)
    core.create_namespaced_secret(
        space, client.V1Secret(metadata=client.V1ObjectMeta(name="key"), string_data={"k": "v"})
    )

    assert core.read_namespaced_config_map("settings", space).data == {"a": "1", "b": "2"}
    assert core.read_namespaced_secret("key", space).data == {"k": "dg=="}
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("settings", space, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")


def test_objects_of_a_yaml_file_are_created(api, core, space, tmp_path):
    path = tmp_path / "objects.yaml"
    documents = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}} for name in ("one", "two")
    ]
    path.write_text(yaml.safe_dump_all(documents))

    utils.create_from_yaml(api, str(path), namespace=space)

    assert {item.metadata.name for item in core.list_namespaced_config_map(space).items} == {"one", "two"}


def test_the_node_has_capacity_and_conditions(core):
    (node,) = core.list_node().items

    assert {"cpu", "memory"} <= set(node.status.capacity)
    assert next(c.status for c in node.status.conditions if c.type == "Ready") == "True"


def test_events_are_read_in_both_groups(served, custom, core, api):
    finished(served, custom, "eventful", "true")
    selector = "involvedObject.name=eventful,involvedObject.kind=Job"
    served.until("there are events", lambda: core.list_namespaced_event("default", field_selector=selector).items)

    reasons = {event.reason for event in core.list_namespaced_event("default", field_selector=selector).items}
    new = [
        event
        for event in client.EventsV1Api(api).list_namespaced_event("default").items
        if event.regarding.name == "eventful"
    ]
    assert reasons
    assert {event.reason for event in new} >= reasons
    assert all(event.event_time for event in new)


# Custom objects


def test_a_job_is_created_patched_replaced_and_deleted(custom, space):
    jobs = (*JOBS, space, "jobs")
    made = custom.create_namespaced_custom_object(*jobs, a_shell_job("etl", "true", suspend=True))
    merged = custom.patch_namespaced_custom_object(*jobs, "etl", {"spec": {"backoffLimit": 2}})
    patched = custom.patch_namespaced_custom_object(
        *jobs, "etl", [{"op": "replace", "path": "/spec/backoffLimit", "value": 3}],
        _content_type="application/json-patch+json",
    )  # fmt: skip
    replaced = replace_as_clients_do(custom, jobs, "etl", backoffLimit=4)

    assert [each["metadata"]["generation"] for each in (made, merged, patched, replaced)] == [1, 2, 3, 4]
    assert (merged["spec"]["backoffLimit"], replaced["spec"]["backoffLimit"]) == (2, 4)
    with pytest.raises(ApiException) as stale:
        custom.replace_namespaced_custom_object(*jobs, "etl", patched)
    assert stale.value.status == 409
    custom.delete_namespaced_custom_object(*jobs, "etl", body=client.V1DeleteOptions(propagation_policy="Foreground"))


def test_what_is_refused_carries_a_status(custom, space):
    jobs = (*JOBS, space, "jobs")

    with pytest.raises(ApiException) as invalid:
        custom.create_namespaced_custom_object(*jobs, a_shell_job("bad", "true", backoffLimit=-1))
    with pytest.raises(ApiException) as missing:
        custom.get_namespaced_custom_object(*jobs, "none")
    with pytest.raises(ApiException) as unknown:
        custom.create_namespaced_custom_object(*jobs, a_shell_job("x", "true", comand=1), field_validation="Strict")

    assert (invalid.value.status, "spec.backoffLimit" in invalid.value.body) == (422, True)
    assert (missing.value.status, 'jobs.runwright.dev \\"none\\" not found' in missing.value.body) == (404, True)
    assert (unknown.value.status, "spec.comand" in unknown.value.body) == (400, True)


def test_a_dry_run_stores_nothing(custom, space):
    jobs = (*JOBS, space, "jobs")
    made = custom.create_namespaced_custom_object(*jobs, a_shell_job("dry", "true"), dry_run="All")

    assert made["metadata"]["uid"]
    assert custom.list_namespaced_custom_object(*jobs)["items"] == []


def test_the_status_is_a_subresource(custom, space):
    jobs = (*JOBS, space, "jobs")
    custom.create_namespaced_custom_object(*jobs, a_shell_job("etl", "true", suspend=True) | {"status": {"phase": "x"}})
    condition = {"type": "Checked", "status": "True", "reason": "ByHand", "message": "seen"}

    changed = custom.patch_namespaced_custom_object_status(
        *jobs, "etl", {"spec": {"backoffLimit": 5}, "status": {"conditions": [condition]}}
    )

    assert changed["spec"]["backoffLimit"] == 0
    assert [each["type"] for each in changed["status"]["conditions"]] == ["Checked"]
    assert custom.get_namespaced_custom_object_status(*jobs, "etl")["metadata"]["uid"] == changed["metadata"]["uid"]


def test_pages_of_a_list_are_one_snapshot(custom, space):
    jobs = (*JOBS, space, "jobs")
    for number in range(5):
        custom.create_namespaced_custom_object(*jobs, a_shell_job(f"j{number}", "true", suspend=True))
    page = custom.list_namespaced_custom_object(*jobs, limit=2)
    custom.create_namespaced_custom_object(*jobs, a_shell_job("later", "true", suspend=True))
    names, revisions = [], set()
    while True:
        names += [item["metadata"]["name"] for item in page["items"]]
        revisions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue")
        if not token:
            break
        page = custom.list_namespaced_custom_object(*jobs, limit=2, _continue=token)

    assert (names, len(revisions)) == ([f"j{number}" for number in range(5)], 1)


def test_lists_are_selected_by_labels_and_across_namespaces(custom, space):
    for name, team in (("a", "data"), ("b", "web")):
        job = a_shell_job(name, "true", labels={"team": team, "space": space}, suspend=True)
        custom.create_namespaced_custom_object(*JOBS, space, "jobs", job)

    found = custom.list_custom_object_for_all_namespaces(
        *JOBS, "jobs", label_selector=f"space={space},team notin (web)"
    )

    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]


def test_a_collection_is_deleted_by_labels(custom, space):
    jobs = (*JOBS, space, "jobs")
    for name in ("a", "b"):
        custom.create_namespaced_custom_object(*jobs, a_shell_job(name, "true", labels={"n": name}, suspend=True))

    custom.delete_collection_namespaced_custom_object(*jobs, label_selector="n=a")

    def left():
        return [item["metadata"]["name"] for item in custom.list_namespaced_custom_object(*jobs)["items"]]

    with ThreadPoolExecutor(1) as pool:
        for _ in watch.Watch().stream(custom.list_namespaced_custom_object, *jobs, timeout_seconds=20):
            if pool.submit(left).result() == ["b"]:
                break
    assert left() == ["b"]


# Watches


def test_a_watch_sees_what_is_there_and_each_change(custom, space):
    jobs = (*JOBS, space, "jobs")
    custom.create_namespaced_custom_object(*jobs, a_shell_job("etl", "true", suspend=True))
    seen = []
    watching = watch.Watch()

    for event in watching.stream(custom.list_namespaced_custom_object, *jobs, timeout_seconds=20):
        seen.append(event["type"])
        if seen == ["ADDED"]:
            custom.patch_namespaced_custom_object(*jobs, "etl", {"metadata": {"labels": {"a": "b"}}})
        if event["object"]["metadata"].get("labels") == {"a": "b"} and "deleting" not in seen:
            custom.delete_namespaced_custom_object(*jobs, "etl")
            seen.append("deleting")
        if event["type"] == "DELETED":
            watching.stop()

    assert (seen[0], seen[-1], set(seen)) == ("ADDED", "DELETED", {"ADDED", "MODIFIED", "deleting", "DELETED"})


def test_a_watch_of_pods_gives_typed_objects(served, core, custom):
    name = finished(served, custom, "watched", "exit 3")

    for event in watch.Watch().stream(
        core.list_namespaced_pod, "default", field_selector=f"metadata.name={name}", timeout_seconds=20
    ):
        (status,) = event["object"].status.container_statuses
        if status.state.terminated:
            break
    assert status.state.terminated.exit_code == 3


def test_a_watch_from_the_lists_revision_sees_only_what_came_later(custom, space):
    jobs = (*JOBS, space, "jobs")
    custom.create_namespaced_custom_object(*jobs, a_shell_job("before", "true", suspend=True))
    revision = custom.list_namespaced_custom_object(*jobs)["metadata"]["resourceVersion"]
    custom.create_namespaced_custom_object(*jobs, a_shell_job("after", "true", suspend=True))

    later = {"resource_version": revision, "timeout_seconds": 20}
    *_, event = until(custom.list_namespaced_custom_object, "ADDED", *jobs, **later)

    assert event["object"]["metadata"]["name"] == "after"


def test_a_watch_ends_when_its_time_is_over(custom, space):
    begun = time.monotonic()
    events = list(watch.Watch().stream(custom.list_namespaced_custom_object, *JOBS, space, "jobs", timeout_seconds=1))

    assert events == []
    assert 0.5 < time.monotonic() - begun < 10


# Runs


def test_pods_are_selected_by_their_job_and_say_how_they_ended(served, core, custom):
    finished(served, custom, "failing", "exit 7")

    (pod,) = core.list_namespaced_pod("default", label_selector="runwright.dev/job-name=failing").items
    (status,) = pod.status.container_statuses
    assert (pod.metadata.name, pod.status.phase, status.state.terminated.exit_code) == ("failing-1", "Failed", 7)
    assert (pod.metadata.owner_references[0].kind, status.restart_count, status.ready) == ("Job", 0, False)


def test_logs_are_read_whole_by_their_end_and_with_times(served, core, custom):
    name = finished(served, custom, "chatty", "for n in 1 2 3; do echo line $n; done")

    assert core.read_namespaced_pod_log(name, "default") == "line 1\nline 2\nline 3\n"
    assert core.read_namespaced_pod_log(name, "default", tail_lines=1) == "line 3\n"
    assert core.read_namespaced_pod_log(name, "default", limit_bytes=4) == "line"
    first = core.read_namespaced_pod_log(name, "default", timestamps=True).split("\n")[0]
    assert (first.split(" ", 1)[1], first[10], first.split(" ")[0][-1]) == ("line 1", "T", "Z")


def test_logs_are_followed_to_the_end_of_the_run(served, core, custom):
    job = a_shell_job("slow", "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two")
    custom.create_namespaced_custom_object(*JOBS, "default", "jobs", job)
    served.printed("slow", "one")
    lines = []

    for line in watch.Watch().stream(core.read_namespaced_pod_log, "slow-1", "default"):
        lines.append(line)
        if line == "one":
            stream(core.connect_get_namespaced_pod_exec, "slow-1", "default", command=["touch", "go"], stdout=True)

    assert lines == ["one", "two"]


def test_a_command_is_executed_and_its_output_returned(core, held):
    out = stream(
        core.connect_get_namespaced_pod_exec, held, "default", command=["sh", "-c", "echo out; echo err >&2"],
        stdout=True, stderr=True, stdin=False, tty=False,
    )  # fmt: skip

    assert sorted(out.split()) == ["err", "out"]


def test_a_commands_streams_and_exit_code_are_apart(core, held):
    session = stream(
        core.connect_get_namespaced_pod_exec, held, "default", command=["sh", "-c", "read x; echo got $x; exit 5"],
        stdout=True, stderr=True, stdin=True, _preload_content=False,
    )  # fmt: skip
    session.write_stdin("hello\n")
    session.run_forever(timeout=20)

    assert (session.read_stdout(), session.returncode) == ("got hello\n", 5)
    session.close()


def test_a_client_feeds_the_input_of_a_job(served, custom, core):
    job = a_shell_job("fed", "wc -c", stdin=True, stdinOnce=True)
    custom.create_namespaced_custom_object(*JOBS, "default", "jobs", job)
    served.running("fed")

    session = stream(
        core.connect_get_namespaced_pod_attach, "fed-1", "default",
        stdout=True, stderr=True, stdin=True, _preload_content=False,
    )  # fmt: skip
    session.write_stdin("12345")
    session.close_channel(0)
    session.run_forever(timeout=20)

    assert (session.read_stdout(), session.returncode) == ("5\n", 0)
    session.close()


def test_the_end_of_stdin_is_passed_on(core, held):
    session = stream(
        core.connect_get_namespaced_pod_exec, held, "default", command=["wc", "-c"],
        stdout=True, stdin=True, _preload_content=False,
    )  # fmt: skip
    session.write_stdin("12345")
    session.close_channel(0)
    session.run_forever(timeout=20)

    assert (session.read_stdout().strip(), session.returncode) == ("5", 0)
    session.close()


def test_a_command_that_is_not_there_fails_as_in_a_shell(core, held):
    session = stream(
        core.connect_get_namespaced_pod_exec, held, "default", command=["no-such-program"],
        stdout=True, stderr=True, _preload_content=False,
    )  # fmt: skip
    session.run_forever(timeout=20)

    assert session.returncode == 127
    session.close()


def test_a_port_is_forwarded(core, held):
    forward = portforward(core.connect_get_namespaced_pod_portforward, held, "default", ports="8000")
    connection = forward.socket(8000)
    connection.settimeout(20)
    connection.sendall(b"ping")

    assert connection.recv(100) == b"<ping>"
    connection.close()


def test_a_port_that_nobody_listens_on_is_told(core, held):
    forward = portforward(core.connect_get_namespaced_pod_portforward, held, "default", ports="8001")
    connection = forward.socket(8001)
    connection.settimeout(20)

    assert connection.recv(100) == b""
    assert "cannot connect to port 8001 of the run" in forward.error(8001)
    connection.close()


def test_a_pod_is_deleted_with_its_grace(served, core, custom):
    job = a_shell_job("graceful", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    custom.create_namespaced_custom_object(*JOBS, "default", "jobs", job)
    served.printed("graceful", "up")

    core.delete_namespaced_pod("graceful-1", "default", grace_period_seconds=10)

    run = served.until("the run has ended", lambda: served.status("graceful")["runs"][0].get("finishedAt"))
    assert run
    assert served.status("graceful")["runs"][0]["reason"] == "PodDeleted"
