import pytest

from api.cli.joblet_workflow import BadWorkflow, convert, is_one, name_of
from api.kinds import WORKFLOW
from api.objects import admission
from api.types.job_spec import JobSpec


def no_files(names):
    return [{"path": name, "text": "x"} for name in names]


def converted(**jobs):
    return convert({"jobs": jobs}, "etl", no_files)


def spec_of(**job):
    return converted(a={"command": "run", **job}).workflow["spec"]["jobs"]["a"]["template"]["spec"]


def test_all_that_a_job_says_is_kept():
    spec = spec_of(
        args=["-v", "3.10"],
        runtime="python-3.11-ml",
        network="bridge",
        uploads={"files": ["a.py"]},
        volumes=["data", "cache"],
        resources={
            "max_cpu": "150",
            "max_memory": "512",
            "max_io_bps": "1048576",
            "cpu_cores": "0-1",
            "gpu_count": "2",
        },
        environment={"PORT": "8080"},
    )

    assert spec == {
        "command": ["run", "-v", "3.10"],
        "backoffLimit": 0,
        "runtime": "python-3.11-ml",
        "network": {"name": "bridge"},
        "volumeMounts": [{"name": "data"}, {"name": "cache"}],
        "files": [{"path": "a.py", "text": "x"}],
        "resources": {
            "limits": {
                "cpu": "1500m",
                "memory": "512Mi",
                "io": {"readBytesPerSecond": "1048576", "writeBytesPerSecond": "1048576"},
                "nvidia.com/gpu": 2,
            },
            "cpuSet": "0-1",
        },
        "env": [{"name": "PORT", "value": "8080"}],
    }


def test_its_volumes_and_its_network_are_such_as_jobs_have():
    spec = spec_of(network="bridge", volumes=["data"])
    read = JobSpec.model_validate(spec)

    assert read.network is not None
    assert read.network.name == "bridge"
    assert [mount.place for mount in read.volume_mounts] == ["/volumes/data"]


def test_what_is_zero_is_no_limit():
    assert spec_of(resources={"max_cpu": "0", "max_memory": "0", "cpu_cores": "", "gpu_memory_mb": "0"}) == {
        "command": ["run"],
        "backoffLimit": 0,
    }


def test_it_is_told_what_a_number_of_cpu_was_taken_for():
    found = converted(a={"command": "run", "resources": {"max_cpu": "50"}})

    assert found.notes == ("a: max_cpu 50 is percent of one core, as in Joblet: 500m",)


@pytest.mark.parametrize(
    ("requires", "wanted"),
    [
        ([{"a": "COMPLETED"}], {"requires": [{"job": "a", "condition": "Complete"}]}),
        ([{"a": "failed"}], {"requires": [{"job": "a", "condition": "Failed"}]}),
        ([{"a": "FINISHED"}], {"requires": [{"job": "a", "condition": "Finished"}]}),
        (["a"], {"requires": [{"job": "a", "condition": "Complete"}]}),
        ("a", {"requires": [{"job": "a", "condition": "Complete"}]}),
        (
            {"a": "COMPLETED", "b": "FAILED"},
            {"requires": [{"job": "a", "condition": "Complete"}, {"job": "b", "condition": "Failed"}]},
        ),
        (
            [{"a": "COMPLETED"}, {"b": "COMPLETED"}],
            {"requires": [{"job": "a", "condition": "Complete"}, {"job": "b", "condition": "Complete"}]},
        ),
        (
            [{"expression": "a=COMPLETED AND (b=FAILED OR a IN (COMPLETED,FAILED))"}],
            {"expression": "a=COMPLETED AND (b=FAILED OR a IN (COMPLETED,FAILED))"},
        ),
        (
            [{"expression": "a=FAILED OR b=FAILED"}, {"expression": "a=FINISHED"}, {"b": "FINISHED"}],
            {
                "requires": [{"job": "b", "condition": "Finished"}],
                "expression": "(a=FAILED OR b=FAILED) AND (a=FINISHED)",
            },
        ),
        ([], {}),
        ("", {}),
    ],
)
def test_all_forms_of_requirements_are_read(requires, wanted):
    found = converted(a={"command": "x"}, b={"command": "x"}, c={"command": "x", "requires": requires})
    job = found.workflow["spec"]["jobs"]["c"]

    assert {key: job[key] for key in ("requires", "expression") if key in job} == wanted
    admission.validate(WORKFLOW, found.workflow)


def test_names_that_no_job_may_have_are_written_otherwise_everywhere():
    jobs = {
        "Extract_Data": {"command": "x"},
        "load": {"command": "x", "requires": [{"Extract_Data": "COMPLETED"}]},
        "mend": {"command": "x", "requires": [{"expression": "Extract_Data=FAILED"}]},
    }

    found = converted(**jobs).workflow["spec"]["jobs"]

    assert list(found) == ["extract-data", "load", "mend"]
    assert found["load"]["requires"][0]["job"] == "extract-data"
    assert found["mend"]["expression"] == "extract-data=FAILED"


def test_what_looks_secret_goes_into_a_secret_and_what_is_made_of_it_too():
    said = {"PORT": "1", "DB_PASSWORD": "hunter2", "URL": "u:${DB_PASSWORD}@h:${PORT}"}
    found = converted(a={"command": "x", "environment": said, "secret_environment": {"PIN": "0000"}})
    env = found.workflow["spec"]["jobs"]["a"]["template"]["spec"]["env"]

    assert found.secrets == {"a.DB_PASSWORD": "hunter2", "a.URL": "u:hunter2@h:1", "a.PIN": "0000"}
    assert env[0] == {"name": "PORT", "value": "1"}
    assert env[1] == {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "etl", "key": "a.DB_PASSWORD"}}}
    assert "hunter2" not in str(found.workflow)
    assert found.secret("uid-1")["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


def test_variables_of_the_whole_file_are_every_jobs_and_its_own_win():
    document = {"environment": {"A": "1", "B": "1"}, "jobs": {"j": {"command": "x", "environment": {"B": "${A}2"}}}}

    found = convert(document, "w", no_files)

    assert found.workflow["spec"]["jobs"]["j"]["template"]["spec"]["env"] == [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "12"},
    ]


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ({}, "jobs.a.command: it has none: name the program to run"),
        ({"command": "python x.py"}, "has spaces: put what follows the program into args"),
        ({"command": "x", "retries": "3"}, "jobs.a.retries: there is no such key: there are command, args"),
        ({"command": "x", "args": "one"}, "jobs.a.args: must be a list"),
        ({"command": "x", "args": [{"a": "b"}]}, "jobs.a.args: must be a list of texts"),
        ({"command": "x", "uploads": {"dirs": []}}, "jobs.a.uploads.dirs: there is no such key"),
        ({"command": "x", "uploads": ["a"]}, "jobs.a.uploads: must be a mapping"),
        ({"command": "x", "resources": {"max_cpus": "1"}}, "jobs.a.resources.max_cpus: there is no such key"),
        ({"command": "x", "resources": {"max_memory": "much"}}, 'jobs.a.resources.max_memory: cannot read "much"'),
        ({"command": "x", "resources": {"gpu_memory_mb": "8"}}, "gpu_memory_mb: a job gets whole GPUs"),
        ({"command": "x", "requires": [{"z": "COMPLETED"}]}, 'jobs.a.requires: there is no job "z": there are a'),
        ({"command": "x", "requires": [{"a": "RUNNING"}]}, '"RUNNING" is no way for a job to end'),
        ({"command": "x", "requires": [{"expression": "a="}]}, 'jobs.a.requires: the expression "a=" has its end'),
        ({"command": "x", "environment": {"A": "${A}"}}, "jobs.a.environment: ${A} is made of ${A}"),
        ({"command": "x", "environment": {"A": "1"}, "secret_environment": {"A": "2"}}, "A is in environment and in"),
        ("x", "jobs.a: must be a mapping"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(job, why):
    with pytest.raises(BadWorkflow) as refused:
        converted(a=job)

    assert why in str(refused.value)


def test_a_file_without_jobs_or_with_two_of_one_name_is_refused():
    with pytest.raises(BadWorkflow, match="there is none: name at least one"):
        convert({"jobs": {}}, "w", no_files)
    with pytest.raises(BadWorkflow, match='"a_b" and "a-b" would both be called a-b'):
        converted(**{"a_b": {"command": "x"}, "a-b": {"command": "x"}})
    with pytest.raises(BadWorkflow, match="jobs_: there is no such key"):
        convert({"jobs_": {}, "jobs": {}}, "w", no_files)


def test_its_name_leaves_room_for_those_of_its_jobs():
    jobs = {"x" * 40: {"command": "x"}}

    assert name_of({"name": "My Pipeline", "jobs": jobs}, "file", room=6) == "my-pipeline"
    assert name_of({"jobs": jobs}, "nightly_run") == "nightly-run"
    assert len(name_of({"name": "n" * 80, "jobs": jobs}, "file", room=6)) == 63 - 1 - 40 - 6


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"jobs": {}}, True),
        ({"version": "1", "jobs": {"a": {}}}, True),
        ({"jobs": []}, False),
        ({"apiVersion": "v1", "jobs": {}}, False),
        ({"kind": "Workflow", "jobs": {}}, False),
        (["jobs"], False),
    ],
)
def test_a_file_of_joblets_is_told_from_an_object(document, expected):
    assert is_one(document) is expected
