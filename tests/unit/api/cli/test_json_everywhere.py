"""Every command of rnx takes `--json`, but for those that pass on what others say, and then prints one JSON document."""

import json
from pathlib import Path

import click
import pytest

from api.cli.main import rnx as program
from api.kinds import CRON_JOB, JOB, NETWORK, RUNTIME, VOLUME, VOLUME_SNAPSHOT, WORKFLOW
from api.version import VERSION
from support.api_server import condition_of, run_status
from support.builders import a_job_document
from support.cron_jobs import a_cron_job_document
from support.workflows import a_workflow_document

PASSED_ON = {
    "attach": "the output of a job",
    "completion": "a shell's script",
    "cp": "files, and archives of them",
    "exec": "the output of a command",
    "registry serve": "it serves until it is interrupted",
    "runtime logs": "the log of a build",
}
"""Commands without `--json`, and what they print."""
AGAIN_AND_AGAIN = {
    "job log": "a document for each line: tests/unit/api/cli/test_logs.py",
    "logs": "a document for each line: tests/unit/api/cli/test_logs.py",
    "monitor watch": "a document for each look, until it is interrupted",
}
OF_CONTROLLERS = {
    **dict.fromkeys(
        (
            "admin ca list", "admin ca revoke", "admin ca show", "admin kubeconfig", "admin rotate-secrets-key",
            "admin token create", "admin token list", "admin token revoke",
        ),
        "tests/e2e/test_json_of_the_daemon.py",
    ),
    "drain": "tests/e2e/test_json_of_the_daemon.py",
    "job cancel": "tests/e2e/test_json_of_the_daemon.py",
    "job download": "tests/e2e/test_json_of_the_daemon.py",
    "runtime accept": "tests/e2e/test_json_of_the_daemon.py",
    "runtime build": "tests/e2e/test_json_of_the_daemon.py",
    "runtime remove": "tests/e2e/test_json_of_the_daemon.py",
    "runtime rollback": "tests/e2e/test_runtime_versions.py",
    "runtime test": "tests/e2e/test_json_of_the_daemon.py",
    "runtime update": "tests/e2e/test_json_of_the_daemon.py",
    "runtime verify": "tests/e2e/test_json_of_the_daemon.py",
    "network create": "tests/e2e/test_json_of_the_daemon.py",
    "diff": "tests/unit/api/cli/test_diff.py",
    "edit": "tests/unit/api/cli/test_edit.py",
    "volume create": "tests/e2e/test_json_of_the_daemon.py",
    "volume snapshot create": "tests/e2e/test_json_of_the_daemon.py",
}  # fmt: skip
"""Commands that wait for what a controller says, or end with another code than 0, and where they are tried."""
LINES = """
get job etl
get jobs
get jobs,runtimes
get job etl other
describe job etl
describe jobs
explain job/etl
explain job/etl job/other
explain job.spec.env
events
events --for job/etl
top
monitor top
monitor status
nodes
cordon
uncordon
get nodes
api-resources
version
version --client
config
config-help
apply -f one.yaml
apply -f two.yaml
create job now --from=cronjob/nightly
wait job/etl --for=create
wait job/etl job/other --for=create
delete job other --wait=false
job run --detach -- true
run --detach -- true
job run --dry-run -- true
job list
job status etl
job status etl other
job stop etl --wait=false
job metrics etl
job delete gone
job delete-all
workflow run flow.yaml
workflow list
workflow status flow
workflow cancel flow --wait=false
workflow delete flow
network list
network remove kept
label job/etl team=data
patch job/etl -p {"metadata":{"labels":{"team":"data"}}}
patch job etl other --dry-run -p {"spec":{"suspend":true}}
annotate jobs --all note=x
volume list
volume snapshot list
volume snapshot delete kept
volume remove scratch
runtime list
runtime list --registry
runtime info python
runtime history python
runtime gc --dry-run
runtime install tool --wait=false
runtime init my-tool --language python
runtime init --list-examples
runtime init made
runtime validate made
runtime pack made
runtime publish made --registry-dir reg
registry verify reg
registry keygen key
registry sign reg --key key
""".strip().splitlines()


def commands(group=program, path=()):
    """Yield each command of rnx with its words; a group is none, as it shows nothing."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_json_unless_it_passes_on_what_others_say(name):
    takes = any("--json" in option.opts for option in COMMANDS[name].params)

    assert takes != (name in PASSED_ON)


def test_each_of_them_is_tried_here_or_where_its_controller_is():
    tried = {name for name in COMMANDS if any(line == name or line.startswith(f"{name} ") for line in LINES)}

    assert tried | set(OF_CONTROLLERS) | set(AGAIN_AND_AGAIN) == set(COMMANDS) - set(PASSED_ON)
    root = Path(__file__).parents[4]
    assert [place for place in OF_CONTROLLERS.values() if not (root / place).is_file()] == []


JOB_YAML = "{apiVersion: runwright.dev/v1alpha1, kind: Job, metadata: {name: %s}, spec: {command: ['true']}}\n"
FLOW = "name: f\njobs:\n  a: {command: 'true'}\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    place = tmp_path_factory.mktemp("json")
    (place / "one.yaml").write_text(JOB_YAML % "first")
    (place / "two.yaml").write_text(f"{JOB_YAML % 'first'}---\n{JOB_YAML % 'second'}")
    (place / "flow.yaml").write_text(FLOW)
    (place / "config.yaml").write_text("hosts: {here: {root: /srv/x}}\n")
    return place


@pytest.fixture
def world(live, directory, monkeypatch):
    """A server that has something of each kind."""
    monkeypatch.chdir(directory)
    monkeypatch.setenv("RNX_CONFIG", str(directory / "config.yaml"))
    for name in ("etl", "other", "gone"):
        live.create(JOB, a_job_document(name))
        live.host.explanations[f"job/default/{name}"] = {"object": f"job/default/{name}"}
    runs = [run_status("Ended", exit_code=0, reason="Completed")]
    live.set_status(JOB, "gone", phase="Succeeded", runs=runs, conditions=[condition_of("Complete", "Completed")])
    live.create(WORKFLOW, a_workflow_document(a={}) | {"metadata": {"name": "flow"}})
    live.create(CRON_JOB, a_cron_job_document("nightly"))
    for kind, name, spec in (
        (NETWORK, "kept", {}),
        (VOLUME, "scratch", {}),
        (VOLUME_SNAPSHOT, "kept", {"source": {"volumeName": "scratch"}}),
        (RUNTIME, "python", {"versions": ["1.0.0"]}),
    ):
        live.create(kind, {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}, "spec": spec})
    return live


@pytest.mark.parametrize("line", LINES)
def test_it_then_prints_one_json_document(rnx, world, line):
    said = rnx(*f"{line} --json".split()) if " -- " not in line else rnx(*line.replace(" -- ", " --json -- ").split())

    assert said.code == 0, said.err
    assert isinstance(json.loads(said.out), dict | list)


def test_two_forms_of_output_at_once_are_refused(rnx, world):
    said = rnx("get", "jobs", "-o", "yaml", "--json")

    assert said.code == 2
    assert "-o yaml and --json are two forms of output: say one of them" in said.err


def test_several_objects_are_one_list(rnx, world):
    assert [
        item["metadata"]["name"] for item in json.loads(rnx("job", "status", "etl", "other", "--json").out)["items"]
    ] == [
        "etl",
        "other",
    ]
    assert [item["kind"] for item in json.loads(rnx("apply", "-f", "two.yaml", "--json").out)["items"]] == [
        "Job",
        "Job",
    ]


def test_a_field_is_explained_by_its_schema(rnx):
    assert json.loads(rnx("explain", "job.spec.env", "--json").out)["type"] == "array"


def test_what_is_described_comes_with_its_events(rnx, world):
    [described] = json.loads(rnx("describe", "job", "etl", "--json").out)

    assert (described["object"]["metadata"]["name"], described["events"]) == ("etl", [])


@pytest.mark.parametrize(
    "line", ["--json job list", "-n default --json job list", "--namespace=default job --json list", "job list --json"]
)
def test_json_may_stand_before_the_command(rnx, world, line):
    assert json.loads(rnx(*line.split()).out)["kind"] == "JobList"


def test_json_before_the_command_is_not_the_jobs_own(rnx, world):
    said = rnx("--json", "job", "run", "--dry-run", "tool", "--json")

    assert json.loads(said.out)["spec"]["command"] == ["tool", "--json"]


def test_the_version_and_the_help_of_the_configuration_are_where_the_documents_have_them(rnx):
    assert rnx("--version").out == f"rnx, version {VERSION}\n"
    assert "current-host" in rnx("config-help").out
