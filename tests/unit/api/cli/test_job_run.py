"""The documents' commands become Jobs, and nothing that was asked for is dropped."""

import json
import shlex

import click
import pytest

from api.cli.job_run import document_of, run
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
    flags.pop("detach"), flags.pop("as_json"), flags.pop("wait_timeout")
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


def test_disks_and_cpus_are_limited_by_their_flags():
    assert spec_of("--max-iobps=10485760 --cpu-cores=0-1,3 true")["resources"] == {
        "limits": {"io": {"readBytesPerSecond": "10485760", "writeBytesPerSecond": "10485760"}},
        "cpuSet": "0-1,3",
    }


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
        ("--volume=pip-cache true", "--volume is not supported yet: runwright has no volumes so far"),
        ("--network=web true", "--network=web is not supported yet: a job has its own loopback only"),
        ("--gpu-memory=8GB true", "--gpu-memory is not supported yet: runwright has no shares of GPUs"),
        ("--gpu=0 true", '--gpu: cannot give a job "0" devices: use a whole number from 1 to 1024'),
        ("--gpu=one true", '--gpu: cannot give a job "one" devices'),
        ("--device=gpu=1 true", '--device: cannot read "gpu=1" as devices: write VENDOR/CLASS=N'),
        ("--device=a.com/x= true", '--device: cannot give a job "" devices'),
        ("--gpu=1 --device=nvidia.com/gpu=1 true", "devices of nvidia.com/gpu are asked for twice"),
        ("--schedule=10m true", "--schedule is not supported yet"),
        ("--secret-env=A=b true", "--secret-env is not supported yet"),
        ("--max-cpuu=1 true", "No such option"),
        ("--max-memory=512MB true", "write 512M (powers of 1000) or 512Mi"),
        ("--max-cpu=lots true", "use cores such as 4 or 0.5"),
        ("--max-iobps=1000 true", "must be at least 64Ki a second, and 1000 is less"),
        ("--max-iobps=0 true", "leave the flag out for no limit"),
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


def test_no_network_may_be_asked_for_by_name():
    assert spec_of("--network=none true")["command"] == ["true"]


def test_a_job_without_a_name_gets_one_from_the_server():
    assert document_of(("true",))["metadata"] == {"generateName": "run-"}


def test_a_job_is_plain_json():
    assert json.loads(json.dumps(document_of(("true",), name="x")))["metadata"] == {"name": "x"}


def test_rights_are_asked_for_as_in_a_manifest():
    spec = document_of(("true",), security_profile="baseline", cap_add=("CHOWN", "KILL"))["spec"]

    assert spec["securityProfile"] == "baseline"
    assert spec["securityContext"] == {"capabilities": {"add": ["CHOWN", "KILL"]}}
    assert not {"securityProfile", "securityContext"} & document_of(("true",))["spec"].keys()
