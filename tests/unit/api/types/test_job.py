import base64
from datetime import UTC

import pytest
from pydantic import ValidationError

from api.types.job import Job
from api.types.job_file import FILES_MOST_BYTES
from api.types.job_spec import InstallPolicy, JobSpec
from support.objects import a_job


def spec_of(**fields):
    return Job.model_validate(a_job(**fields)).spec


def reasons(**fields):
    with pytest.raises(ValidationError) as caught:
        spec_of(**fields)
    return [(".".join(map(str, error["loc"])), error["type"]) for error in caught.value.errors()]


def test_a_job_needs_only_a_command():
    spec = spec_of()

    assert spec.command == ("true",)
    assert (spec.backoff_limit, spec.working_dir, spec.install_policy) == (6, "/work", InstallPolicy.IF_NOT_PRESENT)


@pytest.mark.parametrize(
    ("fields", "where", "why"),
    [
        ({"command": []}, "spec.command", "too_short"),
        ({"command": [""]}, "spec.command", "FieldValueInvalid"),
        ({"command": ["a\0b"]}, "spec.command", "FieldValueInvalid"),
        ({"env": [{"name": "1A"}]}, "spec.env.0.name", "FieldValueInvalid"),
        ({"env": [{"name": "A\n"}]}, "spec.env.0.name", "FieldValueInvalid"),
        ({"env": [{"name": "A", "value": "x" * 130_816}]}, "spec.env.0.value", "FieldValueInvalid"),
        ({"env": [{"name": "JOB_ID"}]}, "spec.env.0.name", "FieldValueForbidden"),
        ({"env": [{"name": "A", "value": "\0"}]}, "spec.env.0.value", "FieldValueInvalid"),
        ({"env": [{"name": "A"}, {"name": "A"}]}, "spec.env", "FieldValueDuplicate"),
        ({"workingDir": "work"}, "spec.workingDir", "FieldValueInvalid"),
        ({"workingDir": "/work/../etc"}, "spec.workingDir", "FieldValueInvalid"),
        ({"runtime": "Python 3"}, "spec.runtime", "FieldValueInvalid"),
        ({"backoffLimit": -1}, "spec.backoffLimit", "greater_than_equal"),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds", "greater_than"),
        ({"installPolicy": "Always"}, "spec.installPolicy", "enum"),
        ({"resources": {"limits": {"memory": "512mb"}}}, "spec.resources.limits.memory", "FieldValueInvalid"),
        ({"resources": {"limits": {"memory": "64"}}}, "spec.resources.limits.memory", "FieldValueInvalid"),
        ({"resources": {"limits": {"cpu": "1m"}}}, "spec.resources.limits.cpu", "FieldValueInvalid"),
        ({"resources": {"limits": {"cpu": "1e18"}}}, "spec.resources.limits.cpu", "FieldValueInvalid"),
        ({"resources": {"limits": {"pids": 0}}}, "spec.resources.limits.pids", "greater_than_equal"),
    ],
)
def test_a_bad_field_is_refused_where_it_is(fields, where, why):
    assert reasons(**fields) == [(where, why)]


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\0b", "x" * 300, "a/" * 600 + "b"]
)
def test_a_file_stays_inside_the_work_directory(path):
    assert reasons(files=[{"path": path, "text": ""}]) == [("spec.files.0.path", "FieldValueInvalid")]


@pytest.mark.parametrize("content", [{}, {"text": "a", "base64": "YQ=="}, {"base64": "%%%"}])
def test_a_file_has_one_readable_content(content):
    assert reasons(files=[{"path": "a", **content}]) == [("spec.files.0", "FieldValueInvalid")]


def test_a_file_gives_its_bytes_and_mode():
    spec = spec_of(
        files=[{"path": "a", "text": "é"}, {"path": "b", "base64": base64.b64encode(b"\0\xff").decode(), "mode": 493}]
    )

    assert [file.content for file in spec.files] == ["é".encode(), b"\0\xff"]
    assert [file.mode for file in spec.files] == [0o644, 0o755]


@pytest.mark.parametrize("link", [".", "b", "..", "../b/c", "./x/../y"])
def test_a_link_leads_to_somewhere_inside_work(link):
    (file,) = spec_of(files=[{"path": "deep/a", "link": link}]).files

    assert (file.link, file.content) == (link, b"")


@pytest.mark.parametrize("link", ["", "/etc", "../..", "x/../../..", "a\0b"])
def test_a_link_that_leads_out_of_work_is_refused(link):
    assert reasons(files=[{"path": "deep/a", "link": link}]) == [("spec.files.0", "FieldValueInvalid")]


def test_nothing_is_put_behind_a_link():
    files = [{"path": "a", "link": "."}, {"path": "a/b", "text": ""}]

    assert reasons(files=files) == [("spec.files", "FieldValueInvalid")]


def test_a_directory_may_be_above_files_and_has_the_usual_mode():
    files = [
        {"path": "a", "directory": True},
        {"path": "a/b", "text": ""},
        {"path": "c", "directory": True, "mode": 448},
    ]

    assert [file.permissions for file in spec_of(files=files).files] == [0o755, 0o644, 0o700]


@pytest.mark.parametrize("path", ["", "a", "/a/../b", "/a//b", "/", "/a/", "/./a", "/a\nb", "/a\0", "/" + "a" * 4096])
def test_a_file_of_the_host_has_a_plain_absolute_path(path):
    assert reasons(files=[{"path": "a", "hostPath": path}]) == [("spec.files.0.hostPath", "FieldValueInvalid")]


def test_what_a_file_of_the_host_may_become_has_nothing_beside_or_below_it():
    file = {"path": "a", "hostPath": "/srv/a"}

    assert reasons(files=[file, {"path": "a/b", "text": "x"}]) == [("spec.files", "FieldValueInvalid")]
    assert reasons(files=[file | {"text": "x"}]) == [("spec.files.0", "FieldValueInvalid")]
    assert len({spec_of(files=[each]).template_hash() for each in (file, file | {"hostPath": "/srv/b"})}) == 2


@pytest.mark.parametrize("upload", ["", "sha256:", "0" * 64, "sha256:" + "A" * 64, "sha256:" + "0" * 64 + "\n"])
def test_an_upload_is_named_by_its_digest(upload):
    assert reasons(files=[{"path": "a", "upload": upload}]) == [("spec.files.0.upload", "FieldValueInvalid")]


def test_a_file_has_one_content():
    digest = "sha256:" + "0" * 64

    assert spec_of(files=[{"path": "a", "upload": digest}]).files[0].content == b""
    assert reasons(files=[{"path": "a", "upload": digest, "text": "x"}]) == [("spec.files.0", "FieldValueInvalid")]
    assert reasons(files=[{"path": "a"}]) == [("spec.files.0", "FieldValueInvalid")]
    assert reasons(files=[{"path": "a", "directory": False}]) == [("spec.files.0", "FieldValueInvalid")]


def test_files_have_one_megabyte_together():
    half = "x" * (FILES_MOST_BYTES // 2)
    fit = [{"path": "a", "text": half}, {"path": "b", "text": half}]

    assert len(spec_of(files=fit).files) == 2
    assert reasons(files=[*fit, {"path": "c", "text": "x"}]) == [("spec.files", "FieldValueInvalid")]
    assert reasons(files=[fit[0], fit[0]]) == [("spec.files", "FieldValueDuplicate")]


def test_limits_are_numbers_of_the_kernel_whatever_their_spelling():
    limits = spec_of(resources={"limits": {"cpu": 1.5, "memory": "64Mi", "ephemeral-storage": "1Gi"}}).resources.limits

    assert (limits.millicpu, limits.memory_bytes, limits.storage_bytes) == (1500, 64 << 20, 1 << 30)
    unset = spec_of().resources.limits
    assert (unset.millicpu, unset.memory_bytes, unset.storage_bytes) == (None, None, None)


def test_many_env_variables_are_checked_in_no_time():
    env = [{"name": f"A{number}"} for number in range(50_000)]

    assert len(spec_of(env=env).env) == 50_000


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_that_is_made_of_something_else_has_another_template_hash(deep):
    spec = JobSpec(command=["true"])
    before = spec.template_hash()

    assert spec.model_copy(update={"command": ("false",)}, deep=deep).template_hash() != before
    assert spec.model_copy(deep=deep).template_hash() == spec.template_hash() == before
    assert spec == JobSpec(command=["true"])


def test_the_template_hash_changes_with_what_a_run_is_made_of_only():
    first = spec_of().template_hash()

    assert spec_of(backoffLimit=1, suspend=True, ttlSecondsAfterFinished=5).template_hash() == first
    assert spec_of(args=["x"]).template_hash() != first
    assert spec_of(env=[{"name": "A"}]).template_hash() != first
    assert spec_of(stdin=False, stdinOnce=False).template_hash() == first
    assert len({first} | {spec_of(stdin=True, stdinOnce=once).template_hash() for once in (False, True)}) == 3
    digests = [spec_of(files=[{"path": "a", "upload": f"sha256:{each * 64}"}]).template_hash() for each in "01"]
    assert len({first, *digests}) == 3
    of_before = JobSpec.model_validate({"command": ["true"], "files": [{"path": "a", "text": "x"}]})
    assert of_before.template_hash() == "ca401508cc"


@pytest.mark.parametrize(
    "text", ["2026-12-31T23:59:00Z", "2026-12-31t23:59:00.123456789+05:30", "2020-01-01T00:00:00-00:00"]
)
def test_a_start_is_a_moment_with_its_zone(text):
    spec = spec_of(startAt=text)

    assert (spec.start_at, spec.starts_at.tzinfo) == (text, UTC)


@pytest.mark.parametrize(
    "text",
    ["2026-12-31", "2026-12-31T23:59:00", "2026-12-31 23:59:00Z", "2026-13-31T23:59:00Z", "2026-W53-4T00:00:00Z", "now",
     "0001-01-01T00:00:00+01:00", "2026-12-31T23:59:00+25:00", "2026-12-31T23:59:60Z", ""],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text):
    assert reasons(startAt=text) == [("spec.startAt", "FieldValueInvalid")]


def test_after_is_complete_unless_it_says_otherwise():
    (after,) = spec_of(after=[{"job": "extract"}]).after

    assert (after.job, after.condition.value) == ("extract", "Complete")


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ([{"job": "a"}, {"job": "a", "condition": "Failed"}], '"a" is there twice'),
        ([{"job": "team/a"}], "must be the name of a job in the same namespace"),
        ([{"job": "A"}], "must be the name of a job"),
        ([{"job": "a" * 64}], "must be the name of a job"),
        ([{"job": "a\n"}], "must be the name of a job"),
        ([{"job": ""}], "at least 1 character"),
        ([{"job": "a", "condition": "Running"}], "Input should be 'Complete', 'Failed' or 'Finished'"),
        ([{"job": f"j{number}"} for number in range(257)], "must have at most 256 items"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(after, why):
    with pytest.raises(ValidationError) as error:
        spec_of(after=after)

    assert why in str(error.value)


def test_an_artifact_may_be_a_directory_as_shells_complete_it():
    assert spec_of(artifacts=["out/", "a/**/"]).artifacts == ("out", "a/**")


@pytest.mark.parametrize("pattern", ["", "/", "/out", "./out", "../out", "a//b", "out/..", "a\nb"])
def test_a_pattern_that_can_match_nothing_in_work_is_refused(pattern):
    assert reasons(artifacts=[pattern]) == [("spec.artifacts", "FieldValueInvalid")]
