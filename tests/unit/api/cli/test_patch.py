"""Patches from the command line."""

import pytest

from api.kinds import JOB
from support.objects import a_job


def test_a_merge_patch_changes_what_it_names_and_null_removes(rnx, live):
    live.create(JOB, a_job(metadata={"labels": {"old": "1", "keep": "1"}}))

    said = rnx("patch", "job", "etl", "-p", "{metadata: {labels: {old: null, new: '2'}}}")

    assert (said.code, said.out) == (0, "job.runwright.dev/etl patched\n")
    assert live.get(JOB, "etl")["metadata"]["labels"] == {"keep": "1", "new": "2"}


def test_what_is_so_already_is_said_to_be(rnx, live):
    live.create(JOB, a_job(metadata={"labels": {"a": "1"}}))

    said = rnx("patch", "job/etl", "-p", '{"metadata": {"labels": {"a": "1"}}}')

    assert said.out == "job.runwright.dev/etl patched (no change)\n"


def test_a_json_patch_from_a_file_changes_several_and_one_refusal_stops_no_other(rnx, live, tmp_path):
    for name in ("a", "b"):
        live.create(JOB, a_job(name))
    file = tmp_path / "patch.json"
    file.write_text('[{"op": "add", "path": "/spec/suspend", "value": true}]')

    said = rnx("patch", "job/a", "job/none", "job/b", "--type", "json", "--patch-file", str(file))

    assert (said.code, said.lines) == (1, ["job.runwright.dev/a patched", "job.runwright.dev/b patched"])
    assert '"none" not found' in said.err
    assert [live.get(JOB, name)["spec"]["suspend"] for name in ("a", "b")] == [True, True]


def test_a_dry_run_shows_what_would_be_and_changes_nothing(rnx, live):
    live.create(JOB, a_job())
    before = live.get(JOB, "etl")

    said = rnx("patch", "job/etl", "-p", "spec: {suspend: true}", "--dry-run")
    shown = rnx("patch", "job/etl", "-p", "spec: {suspend: true}", "--dry-run", "-o", "yaml")

    assert said.out == "job.runwright.dev/etl patched (server dry run)\n"
    assert "suspend: true" in shown.out
    assert live.get(JOB, "etl") == before


def test_a_status_is_patched_in_its_place(rnx, live):
    live.create(JOB, a_job())

    said = rnx("patch", "job/etl", "--subresource", "status", "-p", "status: {active: 1}")

    assert said.code == 0, said.err
    assert live.get(JOB, "etl")["status"]["active"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "say what to change: either -p PATCH or --patch-file FILE"),
        (("-p", "x", "--patch-file", "-"), "say what to change: either -p PATCH or --patch-file FILE"),
        (("-p", "suspend"), "with --type merge it is an object, such as spec: {…}"),
        (("-p", "spec: {}", "--type", "json"), "with --type json it is a list of operations"),
        (("-p", "spec: {"), "did not find expected node content at line 2, column 1"),
        (("-p", "spec: {suspend: true, suspend: false}"), '"spec.suspend" is there twice: remove one'),
        (("-p", "a: \udcff"), "cannot read the patch: "),
    ],
)
def test_a_patch_that_is_none_is_refused_before_anything_is_asked(rnx, live, arguments, told):
    said = rnx("patch", "job/none", *arguments)

    assert said.code == 2
    assert told in said.err


def test_what_the_server_refuses_is_told_with_its_field(rnx, live):
    live.create(JOB, a_job())

    said = rnx("patch", "job/etl", "-p", "spec: {backoffLimit: -1}")

    assert said.code == 1
    assert "spec.backoffLimit" in said.err


def test_a_patch_that_is_too_long_is_refused_whole(rnx, live, tmp_path):
    live.create(JOB, a_job())
    file = tmp_path / "long.yaml"
    file.write_text("metadata: {labels: {a: b}}\n" + "# padding\n" * 500_000 + "spec: {backoffLimit: 3}\n")

    said = rnx("patch", "job/etl", "--patch-file", str(file))

    assert said.code == 2
    assert "MiB: change less at once" in said.err
