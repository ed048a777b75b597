import json

import pytest

from api.kinds import NETWORK, SECRET, VOLUME, WORKFLOW
from api.meta import ObjectKey
from support.api_server import condition_of
from support.secret_objects import PASSWORD
from support.workflows import a_workflow_document

FILE = f"""\
version: 1
name: Data Pipeline
jobs:
  extract:
    command: sh
    args: [-c, "cat extract.sh"]
    uploads: {{files: [extract.sh]}}
    environment: {{VERSION: 3.10, DB_PASSWORD: {PASSWORD}, DEBUG: yes}}
  load:
    command: "true"
    requires: [{{extract: COMPLETED}}]
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "extract.sh").write_text("echo hi\n")
    path = tmp_path / "pipeline.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def etl(live):
    document = a_workflow_document(a={}, b={"requires": [{"job": "a"}]})
    document["metadata"] = {"name": "etl"}
    document["spec"]["description"] = "for tests"
    live.create(WORKFLOW, document)
    return document


def the_one(live, kind):
    (item,) = live.store.each(kind.name)
    return item


def test_a_file_becomes_a_workflow_and_a_secret_that_goes_with_it(rnx, live, file):
    said = rnx("workflow", "run", str(file))

    workflow, secret = the_one(live, WORKFLOW), the_one(live, SECRET)
    name = workflow["metadata"]["name"]
    assert said.lines == [f"workflow {name} is running"]
    assert name.startswith("data-pipeline-")
    assert secret["metadata"]["name"] == name
    assert secret["metadata"]["ownerReferences"][0]["uid"] == workflow["metadata"]["uid"]
    assert PASSWORD not in json.dumps(workflow)
    spec = workflow["spec"]["jobs"]["extract"]["template"]["spec"]
    assert spec["files"] == [{"path": "extract.sh", "text": "echo hi\n", "mode": 0o644}]
    assert spec["env"][0] == {"name": "VERSION", "value": "3.10"}
    assert spec["env"][2] == {"name": "DEBUG", "value": "yes"}
    assert workflow["spec"]["suspend"] is False


def test_a_network_that_nobody_declared_is_refused_with_those_that_there_are(rnx, live, tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text("jobs:\n  a: {command: x, network: web}\n  b: {command: x, network: dp}\n")

    refused = rnx("workflow", "run", str(path))
    live.create(NETWORK, {"apiVersion": NETWORK.api_version, "kind": "Network", "metadata": {"name": "dp"}, "spec": {}})

    assert (refused.code, refused.err) == (
        1,
        f'error: cannot run {path}: jobs.b.network: there is no network "dp": '
        "rnx network create dp, or name one of bridge, isolated, none, web\n",
    )
    assert not list(live.store.each(WORKFLOW.name))
    assert rnx("workflow", "run", str(path)).code == 0


def test_a_volume_that_is_not_there_is_warned_of_as_it_is_made_empty(rnx, live, tmp_path):
    volume = {"apiVersion": VOLUME.api_version, "kind": "Volume", "metadata": {"name": "dataset"}, "spec": {}}
    live.create(VOLUME, volume)
    path = tmp_path / "w.yaml"
    path.write_text("jobs:\n  a: {command: x, volumes: [datset]}\n  b: {command: x, volumes: [datset, dataset]}\n")

    said = rnx("workflow", "run", str(path))

    assert said.code == 0
    assert said.err.startswith('Warning: there is no volume "datset": an empty one is made')
    assert said.err.endswith(": did you mean dataset?\n")
    assert said.err.count("Warning") == 1


def test_it_has_the_name_that_it_is_given(rnx, live, file):
    said = rnx("workflow", "run", str(file), "--name=nightly")

    assert (said.code, the_one(live, WORKFLOW)["metadata"]["name"]) == (0, "nightly")


def test_a_workflow_as_one_applies_it_is_run_too(rnx, live, tmp_path, etl):
    document = a_workflow_document(x={})
    document["metadata"] = {"name": "other"}
    (tmp_path / "wf.json").write_text(json.dumps(document))

    said = rnx("workflow", "run", str(tmp_path / "wf.json"), "--json")

    assert json.loads(said.out)["metadata"]["name"] == "other"
    assert live.store.get(ObjectKey("Workflow", "default", "other")) is not None


def test_printing_runs_nothing_and_what_is_printed_can_be_applied(rnx, live, file, tmp_path):
    printed = rnx("workflow", "run", str(file), "--print", "--name=nightly")
    before = list(live.store.each(WORKFLOW.name))
    (tmp_path / "all.yaml").write_text(printed.out)

    applied = rnx("apply", "-f", str(tmp_path / "all.yaml"))

    assert before == []
    assert applied.lines == ["secret/nightly created", "workflow.runwright.dev/nightly created"]


@pytest.mark.parametrize(
    ("uploads", "why"),
    [
        ("[../secret]", "../secret is not below"),
        ("[/etc/passwd]", "/etc/passwd is not below"),
        ("[link]", "link is not below"),
        ("[nothing]", "cannot upload"),
    ],
)
def test_files_that_do_not_lie_beside_it_are_not_handed_out(rnx, live, file, tmp_path, uploads, why):
    (tmp_path / "link").symlink_to("/etc/passwd")
    file.write_text(FILE.replace("[extract.sh]", uploads))

    said = rnx("workflow", "run", str(file))

    assert said.code == 1
    assert f"cannot run {file}: jobs.extract.uploads.files: " in said.err
    assert why in said.err
    assert list(live.store.each(WORKFLOW.name)) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("jobs: {a: {command: x, requires: [{b: COMPLETED}]}}", 'jobs.a.requires: there is no job "b"'),
        ("jobs: {a: {command: x}}\n---\njobs: {b: {command: x}}", "it holds 2 documents: a workflow is one"),
        ("steps: {}", "it is neither a Workflow nor a workflow as Joblet writes them"),
        ("jobs: [", "cannot read it as YAML"),
    ],
)
def test_a_file_that_is_no_workflow_says_why(rnx, file, text, why):
    file.write_text(text)

    said = rnx("workflow", "run", str(file))

    assert said.code == 1
    assert why in said.err


def test_a_ring_is_refused_with_the_ring(rnx, file):
    file.write_text("jobs: {a: {command: x, requires: [b]}, b: {command: x, requires: [a]}}")

    said = rnx("workflow", "run", str(file))

    assert said.code == 1
    assert "a waits for b, b waits for a" in said.err


def test_merged_parts_of_a_file_are_read(rnx, live, file):
    file.write_text("jobs:\n  a: &base\n    command: sleep\n    args: ['1']\n  b:\n    <<: *base\n    args: ['2']\n")
    rnx("workflow", "run", str(file))

    commands = [job["template"]["spec"]["command"] for job in the_one(live, WORKFLOW)["spec"]["jobs"].values()]
    assert commands == [["sleep", "1"], ["sleep", "2"]]


def test_a_workflow_whose_secret_is_refused_is_gone_again(rnx, live, file):
    live.create(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "nightly"}})

    said = rnx("workflow", "run", str(file), "--name=nightly")

    assert said.code == 1
    assert 'secrets "nightly" already exists' in said.err
    assert list(live.store.each(WORKFLOW.name)) == []


@pytest.fixture
def waiting(started, live, file):
    """A workflow that was started by `rnx workflow run --wait`."""
    process = started("workflow", "run", str(file), "--name=nightly", "--wait")
    assert process.line() == "workflow nightly is running\n"
    return process


@pytest.mark.parametrize(
    ("phase", "condition", "code"), [("Succeeded", "Complete", 0), ("Failed", "Failed", 1), ("Cancelled", "Failed", 1)]
)
def test_waiting_ends_with_it_and_says_how(live, waiting, phase, condition, code):
    told = condition_of(condition, "Because")
    live.set_status(WORKFLOW, "nightly", phase=phase, message="so it went", conditions=[told])

    said = waiting.ended()

    assert (said.code, said.out) == (code, f"workflow nightly {phase.lower()}: so it went\n")


def test_waiting_tells_what_a_job_waits_for_and_not_its_place_in_the_queue(live, waiting):
    def waits(why):
        live.set_status(WORKFLOW, "nightly", phase="Running", reason="JobWaits", message=why)

    waits("a waits: NetworkNotFound: no nonet")
    assert waiting.error_line() == "workflow nightly: a waits: NetworkNotFound: no nonet\n"
    waits("b waits: Queued: place 2")
    assert waiting.error_line() == "workflow nightly: b waits: Queued: place 2\n"
    waits("b waits: Queued: place 1")
    complete = [condition_of("Complete", "Because")]
    live.set_status(WORKFLOW, "nightly", phase="Succeeded", reason="Completed", message="so", conditions=complete)

    assert waiting.ended().err == ""


def test_an_interrupt_leaves_it_running_and_says_so(waiting):
    said = waiting.interrupted()

    assert said.code == 130
    assert said.err.splitlines()[0] == "workflow nightly goes on: rnx workflow cancel nightly ends it"


def test_list_shows_how_far_each_is(rnx, etl):
    said = rnx("workflow", "list")

    assert said.lines[0].split() == ["NAME", "STATUS", "REASON", "DONE", "AGE", "DESCRIPTION"]
    assert said.lines[1].split()[:3] == ["etl", "Pending", "0/2"]
    assert said.lines[1].endswith("for tests")


def test_status_shows_each_job_and_with_detail_what_it_requires(rnx, etl):
    short, detailed = rnx("workflow", "status", "et"), rnx("workflow", "status", "--detail", "etl")

    assert [line.split() for line in short.lines[-2:]] == [["a", "Waiting"], ["b", "Waiting"]]
    assert any(line.split() == ["b", "Waiting", "a=COMPLETED"] for line in detailed.lines)
    assert json.loads(rnx("workflow", "status", "etl", "--json").out)["metadata"]["name"] == "etl"


def test_cancel_asks_for_the_end_of_it(rnx, live, etl):
    said = rnx("workflow", "cancel", "etl", "--wait=false")

    assert said.lines == ["workflow etl is being cancelled"]
    assert "runwright.dev/stop-requested" in the_one(live, WORKFLOW)["metadata"]["annotations"]


def test_delete_deletes_it(rnx, live, etl):
    said = rnx("workflow", "delete", "etl")

    assert said.lines == ['workflow.runwright.dev "etl" deleted']
    assert list(live.store.each(WORKFLOW.name)) == []


def test_one_that_is_not_there_is_an_error_with_where_to_look(rnx, live):
    said = rnx("workflow", "status", "nope")

    assert said.code == 1
    assert 'there is no workflow "nope" in namespace default: rnx workflow list shows all' in said.err


def test_apply_refuses_a_file_of_joblets_and_says_what_runs_it(rnx, live, file):
    said = rnx("apply", "-f", str(file))

    assert said.code == 1
    assert "rnx workflow run FILE" in said.err


def test_waiting_for_success_ends_at_once_with_a_failure(rnx, live, etl):
    live.set_status(WORKFLOW, "etl", conditions=[condition_of("Failed", "JobsFailed")])

    said = rnx("wait", "workflow/etl", "--for=Complete", "--timeout=30s")

    assert said.code == 1
    assert "cannot become Complete any more: it is Failed" in said.err
