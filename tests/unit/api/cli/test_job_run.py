"""The documents' commands become Jobs, and nothing that was asked for is dropped."""

import json
import re
import shlex
from datetime import UTC, datetime, timedelta

import click
import pytest
import yaml

from api.cli.job_run import document_of, run
from api.kinds import JOB
from api.meta import read_rfc3339
from api.types.job import Job

CODE = 'import json\nprint("a\\tb", json.dumps({"x": 1}))\n# --upload=not-a-flag -h\n'
FILES = (
    "train.py", "modern_app.py", "VirtualThreadApp.java", "compute_task.py", "ml_training.py", "extracted.json",
    "app.py", "requirements.txt",
)  # fmt: skip
LIMITS = {"resources": {"limits": {"memory": "2048Mi", "cpu": "4"}}, "activeDeadlineSeconds": 3600.0}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).write_text(name)
    return tmp_path


def spec_of(line: str) -> dict:
    """Return the spec of the Job that a command line after `rnx job run` makes."""
    arguments = shlex.split(line)
    with run.make_context("run", arguments) as context:
        flags = dict(context.params)
    for name in ("detach", "dry_run", "as_json", "wait_timeout"):
        flags.pop(name)
    document = document_of(flags.pop("command"), **flags)
    Job.model_validate(document | {"metadata": {"name": "x"}})
    return document["spec"]


def files(*names: str) -> dict:
    return {"files": [{"path": name, "text": name, "mode": 0o644} for name in names]}


GOLDEN = [
    ("--runtime=python:3.11 python --version", {"runtime": "python:3.11", "command": ["python", "--version"]}),
    ("--runtime=python:3.11+ml --upload=train.py python train.py",
     {"runtime": "python:3.11+ml", "command": ["python", "train.py"]} | files("train.py")),
    ("--runtime=python-3.12 --upload=modern_app.py python modern_app.py",
     {"runtime": "python-3.12", "command": ["python", "modern_app.py"]} | files("modern_app.py")),
    ("--runtime=java:21 --upload=VirtualThreadApp.java --max-memory=1024"
     ' bash -c "javac VirtualThreadApp.java && java VirtualThreadApp"',
     {"runtime": "java:21", "command": ["bash", "-c", "javac VirtualThreadApp.java && java VirtualThreadApp"],
      "resources": {"limits": {"memory": "1024Mi"}}} | files("VirtualThreadApp.java")),
    ("--runtime=python-3.11-ml --upload=compute_task.py --max-cpu=8 --max-memory=4096 python compute_task.py",
     {"runtime": "python-3.11-ml", "command": ["python", "compute_task.py"],
      "resources": {"limits": {"memory": "4096Mi", "cpu": "8"}}} | files("compute_task.py")),
    ("--runtime=python-3.11-ml --max-memory=2048 --max-cpu=4 --max-runtime=3600"
     " --upload=ml_training.py python ml_training.py",
     {"runtime": "python-3.11-ml", "command": ["python", "ml_training.py"]} | LIMITS | files("ml_training.py")),
    ("--runtime=python-3.11-pytorch-cuda@2.1.0 python train.py",
     {"runtime": "python-3.11-pytorch-cuda@2.1.0", "command": ["python", "train.py"]}),
    ("--runtime=python-3.11-ml@1.4.0-beta python experimental_pipeline.py",
     {"runtime": "python-3.11-ml@1.4.0-beta", "command": ["python", "experimental_pipeline.py"]}),
    ("--runtime=openjdk-21 --upload=extracted.json java -jar transformer.jar",
     {"runtime": "openjdk-21", "command": ["java", "-jar", "transformer.jar"]} | files("extracted.json")),
    ("--runtime=python-3.11-ml python -c \"import numpy; print('OK')\"",
     {"runtime": "python-3.11-ml", "command": ["python", "-c", "import numpy; print('OK')"]}),
    ("--runtime=python-3.11-ml --upload=app.py --upload=requirements.txt python app.py",
     {"runtime": "python-3.11-ml", "command": ["python", "app.py"]} | files("app.py", "requirements.txt")),
    ("--runtime=python-3.11-pytorch-cuda@2.1.0 --gpu=1 --memory=8192 python train_model_v2.py",
     {"runtime": "python-3.11-pytorch-cuda@2.1.0", "command": ["python", "train_model_v2.py"],
      "resources": {"limits": {"memory": "8192Mi", "nvidia.com/gpu": 1}}}),
    ("--device=amd.com/gpu=2 --device example.com/zero true",
     {"command": ["true"], "resources": {"limits": {"amd.com/gpu": 2, "example.com/zero": 1}}}),
    ("--runtime=python-3.11 --memory=8192 python train_model_v2.py",
     {"runtime": "python-3.11", "command": ["python", "train_model_v2.py"],
      "resources": {"limits": {"memory": "8192Mi"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "wanted"), GOLDEN, ids=[line for line, _ in GOLDEN])
def test_the_documents_commands_become_these_jobs(here, line, wanted):
    assert spec_of(line) == {"backoffLimit": 0} | wanted


def test_flags_may_be_written_with_a_space():
    assert spec_of("--runtime python-3.12 --max-cpu 150% -e A=1 --env B=2 true") == {
        "command": ["true"],
        "backoffLimit": 0,
        "runtime": "python-3.12",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "resources": {"limits": {"cpu": "1500m"}},
    }


@pytest.mark.parametrize("argument", ["-h", "--help", "--runtime=x", "--max-memory", "--", "-n"])
def test_what_follows_the_command_is_the_jobs_own(argument):
    assert spec_of(f"tool {argument} x")["command"] == ["tool", argument, "x"]


@pytest.mark.parametrize(
    ("flag", "directory"), [("--workdir=/tmp", "/tmp"), ("-w src/app", "/work/src/app"), ("--workdir=.", "/work")]
)
def test_a_command_starts_where_it_is_told_to_below_work_where_that_is_relative(flag, directory):
    assert spec_of(f"{flag} pwd")["workingDir"] == directory


def test_disks_and_cpus_are_limited_by_their_flags():
    assert spec_of("--max-iobps=10485760 --cpu-cores=0-1,3 true")["resources"] == {
        "limits": {"io": {"readBytesPerSecond": "10485760", "writeBytesPerSecond": "10485760"}},
        "cpuSet": "0-1,3",
    }


@pytest.mark.parametrize("flag", ["-i", "--stdin"])
def test_a_job_that_is_given_input_has_one_that_ends_with_it(flag):
    assert spec_of(f"{flag} cat") == {"backoffLimit": 0, "command": ["cat"], "stdin": True, "stdinOnce": True}


def test_a_start_is_told_the_server_as_a_moment():
    before = datetime.now(UTC)
    start = read_rfc3339(spec_of("--schedule=1h30m true")["startAt"])

    assert timedelta(minutes=90) <= start - before <= timedelta(minutes=91)


def test_two_dashes_end_the_flags():
    assert spec_of("--max-cpu=1 -- -odd-name --help")["command"] == ["-odd-name", "--help"]


def test_a_script_of_several_lines_arrives_byte_for_byte():
    assert spec_of(f"python -c {shlex.quote(CODE)}")["command"] == ["python", "-c", CODE]


def test_an_uploaded_directory_is_put_into_work(here):
    (here / "pkg" / "lib").mkdir(parents=True)
    (here / "pkg" / "lib" / "x.py").write_text("pass")

    assert spec_of("--upload-dir=pkg python lib/x.py")["files"] == [
        {"path": "lib/x.py", "text": "pass", "mode": 0o644},
        {"path": "pkg", "link": "."},
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--volume=a:b true", '--volume: cannot read "a:b" as a volume'),
        (
            "--publish=8080 true",
            "--max-receive and --max-send are for a job in a network: add --network=bridge",
        ),
        ("--network=bridge --publish=0 true", '--publish: cannot read "0" as a port: write 8080, 80:8080 or 53/udp'),
        ("--gpu-memory=8GB true", "--gpu-memory is not supported: a job gets whole GPUs"),
        ("--gpu=0 true", '--gpu: cannot give a job "0" devices: use a whole number from 1 to 1024'),
        ("--gpu=one true", '--gpu: cannot give a job "one" devices'),
        ("--device=gpu=1 true", '--device: cannot read "gpu=1" as devices: write VENDOR/CLASS=N'),
        ("--device=a.com/x= true", '--device: cannot give a job "" devices'),
        ("--gpu=1 --device=nvidia.com/gpu=1 true", "devices of nvidia.com/gpu are asked for twice"),
        ("--schedule=1.5h true", '--schedule: cannot read "1.5h" as a start: write how long from now'),
        ("--schedule=0s true", '--schedule: cannot start in "0s": it is less than a second'),
        ("--secret-env=A=1 -e A=2 true", "--env A is given twice"),
        ("--secret-env=A=1 -s A=2 true", "--secret-env A is given twice"),
        ("--secret-env==x true", "--secret-env: cannot read a secret variable: write KEY=VALUE"),
        ("--secret-env=JOB_ID=x true", '--secret-env: "JOB_ID" is taken'),
        ("-s NOT_SET_HERE true", "--secret-env: $NOT_SET_HERE is not set here: set and export it, or write"),
        ("-s unix:///run/x.sock true", '--secret-env: "unix:///run/x.sock" is no name of a variable'),
        ("--request-cpu=0 true", '--request-cpu: cannot keep "0" of a processor'),
        ("--request-cpu=0.0001 true", "--request-cpu: cannot read"),
        ("--request-memory=512XB true", "--request-memory: cannot read"),
        ("--request-disk=0 true", "--request-disk: must be more than nothing"),
        ("--max-cpuu=1 true", "No such option"),
        ("--max-memory=512XB true", "use megabytes such as 512"),
        ("--max-cpu=lots true", "use cores such as 4 or 0.5"),
        ("--max-iobps=1000 true", "must be at least 64Ki a second, and 1000 is less"),
        ("--max-iobps=0 true", "leave it out for no limit"),
        ("--max-iobps=fast true", "use bytes such as 10485760, or 10Mi"),
        ("--cpu-cores=3-1 true", "a range begins with its lower number"),
        ("--cpu-cores=all true", "write numbers and ranges, such as 0-3"),
        ("--max-runtime=soon true", "use seconds, or 90s"),
        ("--runtime=Python true", "is not a name"),
        ("--upload=missing.py true", "No such file"),
        ("--env=A true", "write KEY=VALUE"),
        ("--env='A B=1' true", '--env: "A B" is no name of a variable'),
        ("--max-memory=1 true", "--max-memory: must be at least 4Mi"),
        ("--env=A=1 --env=A=2 true", "--env A is given twice"),
        ("", "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_sent(here, line, why):
    with pytest.raises(click.UsageError) as refused:
        spec_of(line)

    assert refused.value.exit_code == 2
    assert why in refused.value.format_message()


def test_a_job_that_begins_no_run_is_not_waited_for(rnx, live):
    said = rnx("job", "run", "--parallelism=0", "true")

    assert (said.code, "--parallelism=0 begins no run before it is raised: add --detach" in said.err) == (2, True)
    assert rnx("job", "run", "--parallelism=0", "--name=later", "--detach", "true").out == "later\n"


def test_what_is_kept_for_a_job_and_its_class_are_fields_of_it():
    line = "--request-cpu=0.5 --request-memory=256 --request-disk=1Gi --max-memory=512 --priority=urgent true"

    assert spec_of(line) == {
        "command": ["true"],
        "backoffLimit": 0,
        "priorityClassName": "urgent",
        "resources": {
            "requests": {"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "1Gi"},
            "limits": {"memory": "512Mi"},
        },
    }


@pytest.mark.parametrize(
    "line", ["-s TOKEN=hunter2 true", "--secret-env=TOKEN=hunter2 true", "--secret-env TOKEN true"]
)
def test_what_is_secret_is_not_in_the_job(line, monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter2")

    spec = spec_of(f"--name=etl --env=PLAIN=1 {line}")

    plain, secret = spec["env"]
    reference = secret["valueFrom"]["secretKeyRef"]
    assert (plain, secret["name"], reference["key"]) == ({"name": "PLAIN", "value": "1"}, "TOKEN", "TOKEN")
    assert re.fullmatch(r"etl-env-[0-9a-f]{8}", reference["name"])
    assert "hunter2" not in json.dumps(spec)


def test_no_network_may_be_asked_for_by_name():
    assert spec_of("--network=none true")["network"] == {"name": "none"}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("--volume=pip-cache true", {"volumeMounts": [{"name": "pip-cache"}]}),
        ("--volume=a --volume=b --volume=a true", {"volumeMounts": [{"name": "a"}, {"name": "b"}]}),
        ("--volume=a:/data:ro true", {"volumeMounts": [{"name": "a", "mountPath": "/data", "readOnly": True}]}),
        (
            "--volume=datasets --network=isolated true",
            {"volumeMounts": [{"name": "datasets"}], "network": {"name": "isolated"}},
        ),
    ],
)
def test_volumes_and_a_network_are_named_as_the_documents_name_them(line, wanted):
    spec = spec_of(line)

    assert {name: spec[name] for name in wanted} == wanted


def test_a_network_its_names_and_ports_are_fields_of_the_job():
    spec = spec_of("--network=web --alias=api --publish=80:8080 --publish=53/udp true")

    assert spec["network"] == {
        "name": "web",
        "aliases": ["api"],
        "ports": [{"containerPort": 8080, "hostPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
    }


def test_a_job_without_a_name_gets_one_from_the_server():
    assert document_of(("true",))["metadata"] == {"generateName": "run-"}


def test_a_job_is_plain_json():
    assert json.loads(json.dumps(document_of(("true",), name="x")))["metadata"] == {"name": "x"}


def test_rights_are_asked_for_as_in_a_manifest():
    spec = document_of(("true",), security_profile="baseline", cap_add=("CHOWN", "KILL"))["spec"]

    assert spec["securityProfile"] == "baseline"
    assert spec["securityContext"] == {"capabilities": {"add": ["CHOWN", "KILL"]}}
    assert not {"securityProfile", "securityContext"} & document_of(("true",))["spec"].keys()


def test_a_dry_run_prints_the_job_as_a_manifest_and_makes_none(rnx, live):
    flags = ("--max-memory=512", "--env=A=1", "--name=etl")

    manifest = yaml.safe_load(rnx("job", "run", "--dry-run", *flags, "python", "train.py").out)

    assert json.loads(rnx("job", "run", "--dry-run", "--json", *flags, "python", "train.py").out) == manifest
    assert live.client.list(JOB)["items"] == []
    assert live.client.create(JOB, "default", manifest).document["spec"]["command"] == ["python", "train.py"]


def test_jobs_to_run_after_are_named_one_by_one():
    after = ({"job": "extract"}, {"job": "check", "condition": "Finished"})

    assert document_of(("true",), after=after)["spec"]["after"] == list(after)


def test_of_its_network_a_job_can_ask_for_less():
    spec = document_of(("true",), network="a", egress=("db:5432", "any:443"), ingress=("none",), max_send="1M")["spec"]

    assert spec["network"] == {
        "name": "a",
        "egress": ["db:5432", "any:443"],
        "ingress": [],
        "bandwidth": {"egress": "1M"},
    }
