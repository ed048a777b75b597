"""`rnx apply` on the real API."""

import json

import pytest

from api.kinds import JOB
from support.objects import a_job

JOB_YAML = """\
apiVersion: runwright.dev/v1alpha1
kind: Job
metadata:
  name: {name}
spec:
  command: ["true"]
  env:
  - name: A
    value: "{value}"
"""


@pytest.fixture
def manifest(tmp_path):
    def write(name: str = "etl", value: str = "1", file: str = "etl.yaml") -> str:
        (tmp_path / file).write_text(JOB_YAML.format(name=name, value=value))
        return str(tmp_path / file)

    return write


def test_an_object_is_created_then_unchanged_then_configured(rnx, manifest):
    said = [rnx("apply", "-f", manifest()), rnx("apply", "-f", manifest()), rnx("apply", "-f", manifest(value="2"))]

    assert [(each.code, each.out) for each in said] == [
        (0, "job.runwright.dev/etl created\n"),
        (0, "job.runwright.dev/etl unchanged\n"),
        (0, "job.runwright.dev/etl configured\n"),
    ]


def test_a_dry_run_changes_nothing_and_says_so(rnx, live, manifest):
    assert rnx("apply", "-f", manifest(), "--dry-run=server").out == "job.runwright.dev/etl created (server dry run)\n"
    assert rnx("get", "jobs").err == "No resources found in default namespace\n"


def test_an_unchanged_object_is_unchanged_in_a_dry_run_too(rnx, manifest):
    rnx("apply", "-f", manifest())

    assert (
        rnx("apply", "-f", manifest(), "--dry-run=server").out == "job.runwright.dev/etl unchanged (server dry run)\n"
    )


def test_one_bad_document_does_not_stop_the_others(rnx, tmp_path):
    good = [JOB_YAML.format(name=name, value="1") for name in ("one", "three")]
    (tmp_path / "all.yaml").write_text(f"{good[0]}---\n{JOB_YAML.format(name='Two!', value='1')}---\n{good[1]}")

    said = rnx("apply", "-f", str(tmp_path / "all.yaml"))

    assert said.code == 1
    assert said.out == "job.runwright.dev/one created\njob.runwright.dev/three created\n"
    assert said.err.startswith(f"error: {tmp_path}/all.yaml:14: metadata.name: Invalid value: ")


def test_every_cause_is_told_with_the_line_of_its_field(rnx, tmp_path):
    head = "apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {name: x}\n"
    (tmp_path / "bad.yaml").write_text(f"{head}spec:\n  command: []\n  env:\n  - {{name: 1A}}\n")

    said = rnx("apply", "-f", str(tmp_path / "bad.yaml"))

    assert said.code == 1
    assert "bad.yaml:5: spec.command: " in said.err
    assert "bad.yaml:7: spec.env[0].name: " in said.err


def test_an_unknown_field_is_an_error_and_not_dropped(rnx, tmp_path):
    (tmp_path / "odd.yaml").write_text(JOB_YAML.format(name="x", value="1") + "  comand: [x]\n")

    said = rnx("apply", "-f", str(tmp_path / "odd.yaml"))

    assert said.code == 1
    assert said.err == f"error: {tmp_path}/odd.yaml:10: spec.comand: unknown field: did you mean command?\n"


def test_what_is_wrong_is_said_once(rnx, tmp_path):
    text = JOB_YAML.format(name="x", value="1")
    (tmp_path / "one.yaml").write_text(text.replace('["true"]', "[]"))
    (tmp_path / "two.yaml").write_text(text + "  comand: [x]\n  workdir: /\n")

    one, two = (rnx("apply", "-f", str(tmp_path / name)).err for name in ("one.yaml", "two.yaml"))

    assert one.splitlines() == [f"error: {tmp_path}/one.yaml:6: spec.command: Required value"]
    assert two.splitlines()[1:] == [
        f"  {tmp_path}/two.yaml:10: spec.comand: unknown field: did you mean command?",
        f"  {tmp_path}/two.yaml:11: spec.workdir: unknown field: did you mean workingDir?",
    ]
    assert two.count("comand: unknown") == 1


def test_a_kind_that_is_nearly_one_is_told_which(rnx, tmp_path):
    (tmp_path / "jbo.yaml").write_text("apiVersion: runwright.dev/v1alpha1\nkind: Jbo\nmetadata: {name: x}\n")

    said = rnx("apply", "-f", str(tmp_path / "jbo.yaml"))

    assert said.err.endswith("it is not served: did you mean apiVersion: runwright.dev/v1alpha1 and kind: Job?\n")
    assert said.code == 1


def test_an_address_is_not_taken_for_a_file(rnx):
    said = rnx("apply", "-f", "http://x/a.yaml")

    assert said.code == 2
    assert 'cannot read "http://x/a.yaml": addresses are not fetched: curl -fsS http://x/a.yaml | rnx' in said.err


def test_an_unknown_kind_is_told_with_those_there_are(rnx, tmp_path):
    (tmp_path / "pod.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n")

    said = rnx("apply", "-f", str(tmp_path / "pod.yaml"))

    assert said.code == 1
    assert "runwright.dev/v1alpha1 Job, runwright.dev/v1alpha1 Runtime" in said.err


def test_a_conflict_names_the_line_and_the_way_out(rnx, live, manifest):
    rnx("apply", "-f", manifest())
    live.client.field_manager = "someone"
    live.client.merge_patch(JOB, "default", "etl", {"spec": {"workingDir": "/tmp"}})
    path = manifest()
    with open(path, "a") as file:
        file.write("  workingDir: /work\n")

    said = rnx("apply", "-f", path)
    forced = rnx("apply", "-f", path, "--force-conflicts")

    assert said.code == 1
    assert f"{path}:10: .spec.workingDir" in said.err
    assert "--force-conflicts" in said.err
    assert forced.out == "job.runwright.dev/etl configured\n"


def test_a_directory_is_applied_whole(rnx, tmp_path, manifest):
    manifest("a", file="a.yaml"), manifest("b", file="b.yaml")

    assert rnx("apply", "-f", str(tmp_path)).lines == ["job.runwright.dev/a created", "job.runwright.dev/b created"]


def test_what_get_printed_can_be_applied_again(rnx, live, tmp_path):
    live.create(JOB, a_job("etl"))
    (tmp_path / "backup.yaml").write_text(rnx("get", "jobs", "-o", "yaml").out)

    assert rnx("apply", "-f", str(tmp_path / "backup.yaml")).out == "job.runwright.dev/etl unchanged\n"


def test_the_objects_are_printed_if_asked_for(rnx, manifest):
    assert json.loads(rnx("apply", "-f", manifest(), "-o", "json").out)["metadata"]["name"] == "etl"
    assert rnx("apply", "-f", manifest(), "-o", "name").out == "job.runwright.dev/etl\n"


def test_a_file_for_another_namespace_is_not_moved(rnx, tmp_path):
    (tmp_path / "a.yaml").write_text(JOB_YAML.format(name="x\n  namespace: one", value="1"))

    said = rnx("apply", "-f", str(tmp_path / "a.yaml"), "-n", "two")

    assert said.code == 1
    assert f'{tmp_path}/a.yaml:5: it is for namespace "one", not "two"' in said.err


@pytest.mark.parametrize(("source", "why"), [("missing.yaml", "there is no such file"), (".", "it holds no .yaml")])
def test_a_source_that_is_not_there_is_wrong_usage(rnx, tmp_path, monkeypatch, source, why):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    said = rnx("apply", "-f", source)

    assert said.code == 2
    assert why in said.err


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("kind: Job", "it has no apiVersion: write apiVersion: runwright.dev/v1alpha1"),
        ("kind: Namespace", "it has no apiVersion: write apiVersion: v1"),
        (
            "apiVersion: runwright.dev/v1alpha1",
            "it has no kind: write kind: Job or Runtime or RuntimeTemplate or Registry",
        ),
        ("x: y", "no apiVersion and no kind: write apiVersion: runwright.dev/v1alpha1 and kind: Job or Runtime or"),
    ],
)
def test_a_document_that_does_not_say_what_it_is_is_told_what_to_write(rnx, tmp_path, head, why):
    (tmp_path / "bare.yaml").write_text(f"{head}\nmetadata: {{name: x}}\n")

    said = rnx("apply", "-f", str(tmp_path / "bare.yaml"))

    assert said.code == 1
    assert f"{tmp_path}/bare.yaml:1: cannot apply it: " in said.err
    assert why in said.err
    assert '""' not in said.err
