"""`rnx diff` on the real API: what apply would change, and nothing that it changes."""

import base64
import json

import pytest

from api.kinds import JOB, SECRET

HEAD = "apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {{name: {name}}}\n"
JOB_YAML = HEAD + 'spec:\n  command: ["true"]\n  workingDir: {where}\n'
SECRET_YAML = "apiVersion: v1\nkind: Secret\nmetadata: {{name: key}}\ndata:\n  a: {a}\n  b: c2FtZQ==\n"


@pytest.fixture
def job(tmp_path):
    def write(name: str = "etl", where: str = "/work") -> str:
        (tmp_path / f"{name}.yaml").write_text(JOB_YAML.format(name=name, where=where))
        return str(tmp_path / f"{name}.yaml")

    return write


def test_what_is_as_the_file_says_has_no_difference(rnx, job):
    rnx("apply", "-f", job())

    said = rnx("diff", "-f", job())

    assert (said.code, said.out, said.err) == (0, "", "")


def test_a_change_is_shown_and_not_made(rnx, live, job):
    rnx("apply", "-f", job())
    before = live.get(JOB, "etl")

    said = rnx("diff", "-f", job(where="/tmp"))

    assert said.code == 1
    assert said.lines[:2] == ["--- live/Job.default.etl", "+++ applied/Job.default.etl"]
    assert [line for line in said.lines[2:] if line[0] in "+-"] == ["-  workingDir: /work", "+  workingDir: /tmp"]
    assert live.get(JOB, "etl") == before


def test_as_json_it_is_one_document_of_the_objects_that_differ(rnx, job):
    rnx("apply", "-f", job("same"), "-f", job("other"))

    said = rnx("diff", "-f", job("same"), "-f", job("other", where="/tmp"), "--json")
    alike = rnx("diff", "-f", job("same"), "--json")

    [changed] = json.loads(said.out)["items"]
    assert (said.code, changed["object"]) == (1, "Job.default.other")
    assert [line for line in changed["lines"][2:] if line[0] in "+-"] == ["-  workingDir: /work", "+  workingDir: /tmp"]
    assert (alike.code, json.loads(alike.out)) == (0, {"items": []})


def test_an_object_that_is_not_there_is_all_new_and_stays_away(rnx, live, job):
    said = rnx("diff", "-f", job())

    assert said.code == 1
    assert {line[0] for line in said.lines[3:]} == {"+"}
    assert "+  name: etl" in said.lines
    assert live.client.list(JOB)["items"] == []


def test_what_others_set_is_no_difference(rnx, live, job):
    rnx("apply", "-f", job())
    live.client.field_manager = "someone"
    live.client.merge_patch(JOB, "default", "etl", {"spec": {"suspend": True}})

    assert rnx("diff", "-f", job()).code == 0


def test_what_cannot_be_compared_is_told_and_is_neither_same_nor_different(rnx, live, job, tmp_path):
    rnx("apply", "-f", job("good"))
    live.client.field_manager = "someone"
    live.client.merge_patch(JOB, "default", "good", {"spec": {"workingDir": "/tmp"}})
    (tmp_path / "bad.yaml").write_text(HEAD.format(name="bad") + "spec: {command: []}\n")

    bad, taken = rnx("diff", "-f", str(tmp_path / "bad.yaml")), rnx("diff", "-f", job("good"))
    forced = rnx("diff", "-f", job("good"), "--force-conflicts")
    missing = rnx("diff", "-f", str(tmp_path / "none.yaml"))

    assert (bad.code, "bad.yaml:4: spec.command: " in bad.err) == (2, True)
    assert (taken.code, "good.yaml:6: .spec.workingDir" in taken.err) == (2, True)
    assert (forced.code, "+  workingDir: /work" in forced.lines) == (1, True)
    assert missing.code == 2


def test_values_of_secrets_are_compared_and_not_shown(rnx, live, tmp_path):
    old, new = (base64.b64encode(text).decode() for text in (b"old", b"new"))
    secret = _secret(a=old, b="c2FtZQ==")
    secret["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": old + "c2FtZQ=="}
    live.client.create(SECRET, "default", secret)
    (tmp_path / "s.yaml").write_text(SECRET_YAML.format(a=new))

    said = rnx("diff", "-f", str(tmp_path / "s.yaml"), "--force-conflicts")

    assert said.code == 1
    assert [line for line in said.lines[2:] if line[0] in "+-"] == ["-  a: '*** (before)'", "+  a: '*** (after)'"]
    assert not any(text in said.out for text in (old, new, "c2FtZQ"))


def _secret(**data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "default"}, "data": data}
