"""What people type: kubectl against the API, unmodified."""

import json

import pytest
import yaml

from api.kinds import EVENT, JOB
from api.objects.verbs import WriteOptions

ETL = {
    "apiVersion": "runwright.dev/v1alpha1",
    "kind": "Job",
    "metadata": {"name": "etl"},
    "spec": {"command": ["echo", "hi"], "env": [{"name": "A", "value": "1"}]},
}


def etl(**spec):
    return ETL | {"spec": ETL["spec"] | spec}


def test_the_server_says_a_version_that_kubectl_understands(kubectl):
    assert "Server Version: v1.32.0+runwright." in kubectl("version").out


def test_api_resources_are_found_with_their_short_names(kubectl):
    listed = kubectl("api-resources").out

    assert "runtimetemplates" in listed
    assert "runwright.dev/v1alpha1" in listed
    assert kubectl("get", "jo").err.startswith("No resources found")


def test_apply_creates_then_changes_then_leaves_alone(kubectl):
    assert kubectl("apply", "-f", "-", stdin=ETL).out == "job.runwright.dev/etl created\n"
    assert kubectl("apply", "-f", "-", stdin=etl(backoffLimit=2)).out == "job.runwright.dev/etl configured\n"
    assert kubectl("apply", "-f", "-", stdin=etl(backoffLimit=2)).out == "job.runwright.dev/etl unchanged\n"
    assert kubectl.json("get", "job", "etl")["spec"]["backoffLimit"] == 2


def test_apply_takes_a_field_back_that_its_manifest_lost(kubectl):
    kubectl("apply", "-f", "-", stdin=etl(backoffLimit=2))
    kubectl("apply", "-f", "-", stdin=ETL)

    assert "backoffLimit" not in kubectl.json("get", "job", "etl")["spec"]


def test_a_misspelt_field_is_refused_by_name(kubectl):
    said = kubectl("create", "-f", "-", stdin=etl(comand=["x"]), code=1)

    assert 'unknown field "spec.comand"' in said.err


def test_a_wrong_value_is_refused_with_its_field(kubectl):
    said = kubectl("create", "-f", "-", stdin=etl(backoffLimit=-1), code=1)

    assert "spec.backoffLimit" in said.err


def test_create_of_a_name_that_is_taken_is_refused(kubectl):
    kubectl("create", "-f", "-", stdin=ETL)

    assert 'jobs.runwright.dev "etl" already exists' in kubectl("create", "-f", "-", stdin=ETL, code=1).err


def test_get_shows_a_table_and_wide_shows_more(kubectl):
    kubectl("create", "-f", "-", stdin=ETL)

    assert kubectl("get", "jobs").out.split("\n")[0].split()[:2] == ["NAME", "PHASE"]
    assert "COMMAND" in kubectl("get", "jobs", "-o", "wide").out
    assert kubectl("get", "jobs", "-o", "name").out == "job.runwright.dev/etl\n"


def test_get_all_lists_jobs(kubectl):
    kubectl("create", "-f", "-", stdin=ETL)

    assert "job.runwright.dev/etl" in kubectl("get", "all").out


def test_explain_reads_like_documentation(kubectl):
    said = kubectl("explain", "job.spec.backoffLimit").out

    assert "Retries after failures before the job has failed. Default: 6." in " ".join(said.split())
    assert "resources" in kubectl("explain", "job", "--recursive").out
    assert "ownerReferences" in kubectl("explain", "job.metadata").out


@pytest.mark.parametrize("kind", ["runtime", "registry", "runtimetemplate", "namespace", "event", "pod"])
def test_explain_knows_every_kind(kubectl, kind):
    assert "DESCRIPTION:" in kubectl("explain", kind).out


def test_label_and_annotate_change_metadata_only(kubectl):
    kubectl("create", "-f", "-", stdin=ETL)
    kubectl("label", "job", "etl", "team=data")
    kubectl("annotate", "job", "etl", "note=x y")

    (job,) = kubectl.json("get", "job", "-l", "team=data")["items"]
    metadata = job["metadata"]
    assert (metadata["labels"]["team"], metadata["annotations"]["note"]) == ("data", "x y")
    assert metadata["generation"] == 1


@pytest.mark.parametrize(
    ("type_", "patch"),
    [("merge", '{"spec":{"backoffLimit":3}}'), ("json", '[{"op":"add","path":"/spec/backoffLimit","value":3}]')],
)
def test_patch_by_merge_and_by_json_patch(kubectl, type_, patch):
    kubectl("create", "-f", "-", stdin=ETL)
    kubectl("patch", "job", "etl", "--type", type_, "-p", patch)

    assert kubectl.json("get", "job", "etl")["spec"]["backoffLimit"] == 3


def test_a_strategic_patch_of_a_job_is_said_to_be_unsupported(kubectl):
    kubectl("create", "-f", "-", stdin=ETL)

    assert "not supported" in kubectl("patch", "job", "etl", "-p", "{}", code=1).err


def test_replace_needs_the_version_that_it_read(kubectl):
    kubectl("create", "-f", "-", stdin=ETL)
    job = kubectl.json("get", "job", "etl")
    job["spec"]["backoffLimit"] = 4
    kubectl("replace", "-f", "-", stdin=job)

    assert "the object has been modified" in kubectl("replace", "-f", "-", stdin=job, code=1).err


def test_diff_says_what_would_change_and_changes_nothing(kubectl):
    kubectl("apply", "-f", "-", stdin=ETL)
    said = kubectl("diff", "-f", "-", stdin=etl(backoffLimit=5), code=1)

    assert "+  backoffLimit: 5" in said.out
    assert kubectl("diff", "-f", "-", stdin=ETL).out == ""


def test_a_dry_run_on_the_server_stores_nothing(kubectl):
    said = kubectl("apply", "--dry-run=server", "-f", "-", stdin=ETL)

    assert said.out == "job.runwright.dev/etl created (server dry run)\n"
    assert "NotFound" in kubectl("get", "job", "etl", code=1).err


def test_server_side_apply_tells_of_conflicts_and_can_take_over(kubectl):
    kubectl("apply", "--server-side", "--field-manager", "one", "-f", "-", stdin=etl(backoffLimit=1))
    two = ["apply", "--server-side", "--field-manager", "two", "-f", "-"]
    said = kubectl(*two, stdin=etl(backoffLimit=2), code=1)

    assert 'conflict with "one"' in said.err
    assert ".spec.backoffLimit" in said.err
    assert "serverside-applied" in kubectl(*two, "--force-conflicts", stdin=etl(backoffLimit=2)).out


def test_server_side_apply_takes_over_what_client_side_apply_made(kubectl):
    kubectl("apply", "-f", "-", stdin=etl(backoffLimit=1))
    kubectl("apply", "--server-side", "-f", "-", stdin=etl(backoffLimit=1))
    kubectl("apply", "--server-side", "-f", "-", stdin=ETL)

    job = kubectl.json("get", "job", "etl", "--show-managed-fields")
    managers = {entry["manager"] for entry in job["metadata"]["managedFields"]}
    assert "kubectl-client-side-apply" not in managers
    assert "backoffLimit" not in job["spec"]


def test_delete_waits_until_it_is_gone(kubectl, live, space):
    kubectl("create", "-f", "-", stdin=ETL)
    kubectl("patch", "job", "etl", "--type", "merge", "-p", '{"metadata":{"finalizers":null}}')

    assert "deleted" in kubectl("delete", "job", "etl").out
    assert live.verbs.list(JOB, space).items == ()


def test_what_is_missing_is_said_as_kubernetes_says_it(kubectl):
    assert 'jobs.runwright.dev "nope" not found' in kubectl("get", "job", "nope", code=1).err
    assert 'namespaces "nope" not found' in kubectl("-n", "nope", "create", "-f", "-", stdin=ETL, code=1).err


def test_wait_sees_a_condition_come(kubectl, live, space):
    kubectl("create", "-f", "-", stdin=ETL)
    complete = {"type": "Complete", "status": "True", "reason": "Completed", "message": "done"}
    status = yaml.safe_dump({"status": {"conditions": [complete]}})
    kubectl("patch", "job", "etl", "--subresource=status", "--type", "merge", "-p", status)

    assert "condition met" in kubectl("wait", "job/etl", "--for=condition=Complete", "--timeout=10s").out


def test_namespaces_are_changed_by_strategic_patches(kubectl, space):
    kubectl("patch", "namespace", space, "-p", '{"metadata":{"labels":{"a":"b"}}}')

    assert kubectl.json("get", "namespace", space)["metadata"]["labels"] == {"a": "b"}


def test_auth_can_i_and_whoami_are_answered(kubectl):
    assert kubectl("auth", "can-i", "create", "jobs").out == "yes\n"
    assert "*.*" in kubectl("auth", "can-i", "--list").out
    assert "Username" in kubectl("auth", "whoami").out


def test_namespaces_are_created_and_deleted_as_typed_objects(kubectl, space):
    kubectl("create", "namespace", f"{space}-x")

    assert "deleted" in kubectl("delete", "namespace", f"{space}-x").out


def test_describe_shows_an_objects_events(kubectl, live, space):
    kubectl("create", "-f", "-", stdin=ETL)
    involved = {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "Job",
        "name": "etl",
        "namespace": space,
        "uid": kubectl.json("get", "job", "etl")["metadata"]["uid"],
    }
    event = {
        "metadata": {"name": "e"},
        "involvedObject": involved,
        "reason": "Started",
        "message": "run 1",
        "type": "Normal",
    }
    uid = f"{involved['uid']}-1"
    pod = {"apiVersion": "v1", "kind": "Pod", "name": "etl-1", "namespace": space, "uid": uid}
    live.verbs.create(EVENT, space, event, WriteOptions())
    live.verbs.create(EVENT, space, event | {"metadata": {"name": "etl.1"}, "related": pod}, WriteOptions())
    status = {"status": {"runs": [{"attempt": 1, "state": "Running"}]}}
    kubectl("patch", "job", "etl", "--subresource=status", "--type=merge", "-p", json.dumps(status))

    assert "Started" in kubectl("describe", "pod", "etl-1").out
    assert "Pod/etl-1" in kubectl("events", "--for", "pod/etl-1").out
    assert "Started" in kubectl("describe", "job", "etl").out
    assert "Started" in kubectl("events", "--for", "job/etl").out
    assert "Started" in kubectl("get", "events.events.k8s.io").out


def test_cluster_info_and_nodes_are_answered(kubectl):
    assert "is running at" in kubectl("cluster-info").out
    assert "testhost" in kubectl("get", "nodes", "-o", "wide").out
    assert "testhost" in kubectl("describe", "node").out


def test_a_node_is_cordoned_and_uncordoned(kubectl):
    assert "cordoned" in kubectl("cordon", "testhost").out
    assert "Ready,SchedulingDisabled" in kubectl("get", "nodes").out
    assert "Unschedulable:      true" in kubectl("describe", "node", "testhost").out
    assert "uncordoned" in kubectl("uncordon", "testhost").out
    assert "SchedulingDisabled" not in kubectl("get", "nodes").out
