"""What a job's references stand for: found, left out, or missed by name."""

import os

import pytest

from api.errors import ServiceUnavailable
from api.kinds import CONFIG_MAP, SECRET
from api.meta import ObjectKey
from api.types.job import Job, Reason
from controller.job import references
from controller.job.environment import environment
from controller.job.plan import plan
from controller.job.references import Unresolved, resolve
from controller.job.steps import StartRun
from support.builders import a_run, observed_job, with_runs
from support.objects import a_job
from support.secret_objects import PASSWORD, a_config_map, a_secret, b64, shows

IN_SECRET = {"name": "db", "key": "password"}
STORED = {
    ObjectKey("Secret", "default", "db"): a_secret(data={"password": b64(PASSWORD), "9x": b64("1"), "JOB_ID": b64("2")}),
    ObjectKey("Secret", "default", "raw"): a_secret("raw", data={"nul": b64("a\0b"), "latin": "6Q==", "large": b64("x" * 131_072)}),
    ObjectKey("ConfigMap", "default", "settings"): a_config_map(
        data={"level": "debug", "text": "a\nb"}, binaryData={"bin": "AP8="}
    ),
}  # fmt: skip


def a_job_with(**spec):
    metadata = {"namespace": "default", "uid": "u"}
    return Job.model_validate(a_job("etl", metadata=metadata, **spec))


def env_of(**spec):
    resolved = resolve(a_job_with(**spec), STORED.get)
    assert not references.any_of(Job.model_validate(a_job("etl", command=list(resolved.spec.command))))
    return {variable.name: variable.value for variable in resolved.spec.env}


def from_key(reference, variable="A", **selector):
    return {"name": variable, "valueFrom": {reference: selector}}


def test_variables_have_the_values_of_their_keys():
    secret = from_key("secretKeyRef", "PASSWORD", **IN_SECRET)
    level = from_key("configMapKeyRef", "LEVEL", name="settings", key="level")
    assert env_of(env=[secret, level, {"name": "X", "value": "1"}]) == {
        "PASSWORD": PASSWORD,
        "LEVEL": "debug",
        "X": "1",
    }


def test_what_is_named_by_itself_wins_over_what_comes_with_all_and_later_over_earlier():
    sources = [{"configMapRef": {"name": "settings"}, "prefix": "S_"}, {"secretRef": {"name": "db"}}]
    found = env_of(envFrom=sources[1:], env=[{"name": "password", "value": "mine"}])
    assert found == {"password": "mine"}
    with pytest.raises(Unresolved, match='key "bin" of ConfigMap "settings" cannot be a variable'):
        env_of(envFrom=sources)


def test_keys_that_cannot_be_names_of_variables_are_left_out():
    assert env_of(envFrom=[{"secretRef": {"name": "db"}}]) == {"password": PASSWORD}
    assert env_of(envFrom=[{"secretRef": {"name": "db"}, "prefix": "X_"}]) == {
        "X_password": PASSWORD, "X_9x": "1", "X_JOB_ID": "2",
    }  # fmt: skip


LONG = 131_071 - len("_password=") - len(PASSWORD)


def test_a_variable_as_long_as_one_may_be_is_passed_on():
    env = env_of(envFrom=[{"secretRef": {"name": "db"}, "prefix": "P" * LONG + "_"}])
    assert len(env) == 3
    _, status = os.waitpid(os.posix_spawn("/bin/true", ["true"], env), 0)
    assert status == 0


def test_a_variable_whose_name_makes_it_too_long_is_named_by_its_key():
    why = references.problem(
        a_job_with(envFrom=[{"secretRef": {"name": "db"}, "prefix": "P" * LONG + "__"}]), STORED.get
    )
    assert why == (
        'key "password" of Secret "db" cannot be a variable: it has a NUL byte, or over 128 KiB with its name: '
        "use a file of spec.files"
    )


def test_a_key_that_ends_in_a_new_line_is_no_name_of_a_variable():
    stored = {ObjectKey("ConfigMap", "default", "settings"): a_config_map(data={"level\n": "debug", "ok": "1"})}
    job = a_job_with(envFrom=[{"configMapRef": {"name": "settings"}}])
    assert [variable.name for variable in resolve(job, stored.get).spec.env] == ["ok"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"env": [from_key("secretKeyRef", name="none", key="a")]}, 'Secret "none" not found in namespace default'),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "x"}}}]}, 'couldn\'t find key "x" in Secret "db"'),
        ({"envFrom": [{"configMapRef": {"name": "none"}}]}, 'ConfigMap "none" not found'),
        ({"files": [{"path": "a", "configMapKeyRef": {"name": "settings", "key": "x"}}]}, 'couldn\'t find key "x" in ConfigMap "settings"'),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "raw", "key": "nul"}}}]}, 'key "nul" of Secret "raw" cannot be a variable: it has a NUL'),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "raw", "key": "latin"}}}]}, "it is not UTF-8"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "raw", "key": "large"}}}]}, "over 128 KiB"),
        ({"files": [{"path": str(n), "secretKeyRef": {"name": "raw", "key": "large"}} for n in range(8)]}, "at most 1000000 can be given"),
    ],
)  # fmt: skip
def test_what_is_missing_or_cannot_be_used_is_named(spec, why):
    assert why in references.problem(a_job_with(**spec), STORED.get)


def test_what_is_optional_is_left_out():
    spec = {
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "none", "key": "a", "optional": True}}}],
        "envFrom": [{"configMapRef": {"name": "none", "optional": True}}],
        "files": [{"path": "a", "secretKeyRef": {"name": "db", "key": "none", "optional": True}}],
    }
    resolved = resolve(a_job_with(**spec), STORED.get)
    assert (resolved.spec.env, resolved.spec.files) == ((), ())


def test_files_have_their_bytes_and_remember_that_they_are_secret():
    files = [
        {"path": "key", "secretKeyRef": IN_SECRET, "mode": 0o400},
        {"path": "bin", "configMapKeyRef": {"name": "settings", "key": "bin"}},
        {"path": "own", "text": "x"},
    ]
    resolved = resolve(a_job_with(files=files), STORED.get).spec.files
    assert [(file.path, file.content) for file in resolved] == [
        ("key", PASSWORD.encode()), ("bin", b"\0\xff"), ("own", b"x"),
    ]  # fmt: skip
    assert [file.secret_key_ref is not None for file in resolved] == [True, False, False]


def test_a_store_that_cannot_decrypt_makes_the_job_wait_with_its_words():
    def cannot(_key):
        raise ServiceUnavailable("cannot decrypt secret/default/db: it was changed")

    job = a_job_with(env=[{"name": "A", "valueFrom": {"secretKeyRef": IN_SECRET}}])
    assert references.problem(job, cannot) == "cannot decrypt secret/default/db: it was changed"


def test_what_a_secret_holds_changes_nothing_of_what_the_job_is_made_of():
    job = a_job_with(env=[{"name": "A", "valueFrom": {"secretKeyRef": IN_SECRET}}])
    assert job.spec.template_hash() != a_job_with().spec.template_hash()
    other = resolve(job, STORED.get)
    assert job.spec.env[0].value == ""
    assert shows(str(environment(other, 1, {})))
    assert not shows(job.model_dump_json())


def test_a_job_says_to_which_objects_it_refers():
    job = a_job("etl", metadata={"namespace": "default"}, envFrom=[{"secretRef": {"name": "db"}}])
    assert references.refers(job, ObjectKey(SECRET.name, "default", "db"))
    assert not references.refers(job, ObjectKey(SECRET.name, "other", "db"))
    assert not references.refers(job, ObjectKey(CONFIG_MAP.name, "default", "db"))
    assert not references.refers(
        a_job("etl", metadata={"namespace": "default"}), ObjectKey(SECRET.name, "default", "db")
    )


def test_a_job_that_cannot_be_read_refers_to_nothing_and_is_in_nobodys_way():
    job = {"metadata": {"name": "old", "namespace": "default"}, "spec": {"env": [{"name": "BAD NAME"}]}}

    assert not references.refers(job, ObjectKey(SECRET.name, "default", "db"))


@pytest.mark.parametrize("job", [a_job_with(), with_runs(a_job_with(), a_run())])
def test_a_run_waits_for_what_its_job_refers_to_and_begins_when_it_is_there(job):
    waits = plan(job, observed_job(unresolved='Secret "db" not found'))
    assert (waits.steps, waits.waiting.reason) == ((), Reason.CONFIG_ERROR)
    assert waits.waiting.message == 'Secret "db" not found'


def test_a_run_that_is_on_record_starts_once_all_is_there():
    assert plan(with_runs(a_job_with(), a_run()), observed_job()).then == (StartRun(1, None),)


@pytest.mark.parametrize(
    "spec",
    [
        {"env": [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": IN_SECRET}}]},
        {"env": [{"name": "A", "valueFrom": {}}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": IN_SECRET, "configMapKeyRef": IN_SECRET}}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "a/b"}}}]},
        {"envFrom": [{"prefix": "x"}]},
        {"files": [{"path": "a", "text": "x", "secretKeyRef": IN_SECRET}]},
        {"files": [{"path": "a", "secretKeyRef": {"name": "db"}}]},
    ],
)
def test_references_that_mean_nothing_or_two_things_are_refused(spec):
    with pytest.raises(ValueError, match=r"exactly one of|may not be specified|valid key|Field required"):
        a_job_with(**spec)
