"""The person's file: hosts, aliases, defaults and registries, and several hosts at once."""

import json
import select

import pytest

from api.cli import client_config, several
from api.cli.client_config import BadConfig
from api.cli.connection import Connection, SeveralHosts
from api.kinds import JOB, REGISTRY, RUNTIME
from support.objects import a_job


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the person's file; commands read it."""
    path = tmp_path / "config.yaml"
    monkeypatch.setenv("RNX_CONFIG", str(path))

    def write(text):
        path.write_text(text)
        return path

    return write


@pytest.fixture
def alone(rnx, monkeypatch):
    """`rnx` with no other word of where the server is than the file's."""
    monkeypatch.delenv("RUNWRIGHT_ROOT")
    return rnx


# What the file may say


def test_a_host_is_a_server_a_root_a_kubeconfig_or_an_address_with_its_certificates(write):
    path = write("""
current-host: one
hosts:
  one: http://one:8080
  two: {server: "unix:///run/two.sock", namespace: data}
  three: {root: /srv/three}
nodes:
  default: {address: "four:50051", ca: CA, cert: CERT, key: KEY}
""")

    config, unknown = client_config.read(path)

    assert unknown == ()
    assert [str(config.host(name).address()) for name in ("one", "two", "three", "default")] == [
        "http://one:8080", "unix:///run/two.sock", "unix:///srv/three/run/runwright/api.sock", "https://four:50051",
    ]  # fmt: skip
    assert (config.current_host, config.host("two").namespace) == ("one", "data")
    proof = config.host("default").address().credentials
    assert (proof.authority, proof.certificate, proof.key) == (b"CA", b"CERT", b"KEY")
    assert "KEY" not in repr(config)


def test_what_is_for_the_daemon_is_left_alone_and_what_nobody_knows_is_told(write):
    path = write("""
cache_dir: /opt/joblet/runtime-cache
download: {timeout_seconds: 300}
hots: {a: http://a}
jobs: {defaults: {cpu_cores: 2, colour: red}}
runtimes: {registries: [{name: company, url: https://example.com/r, owner: me}]}
""")

    config, unknown = client_config.read(path)

    assert unknown == ("hots", "runtimes.registries[0].owner", "jobs.defaults.colour")
    assert (config.jobs.cpu, config.registries) == ("2", {"company": "https://example.com/r"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hosts: [a]", "hosts: must be a mapping"),
        ("hosts: {a: {server: http://a, root: /b}}", "hosts.a: needs exactly one of"),
        ("hosts: {a: {address: a, cert: c}}", "hosts.a: needs cert and key together"),
        ("hosts: {a: [x]}", "hosts.a: must be a mapping"),
        ("current-host: b", '"b" is not among hosts (none)'),
        ("aliases: {ml: [x]}", "aliases.ml: must be one value"),
        ("jobs: {defaults: {memory_mb: much}}", "jobs.defaults.memory_mb: "),
        ("runtimes: {registries: {name: a}}", "runtimes.registries: must be a list"),
        ("runtimes: {registries: [{name: a}]}", "runtimes.registries[0]: needs name and url"),
        ("runtimes: {registries: [{name: a, url: u, verify_checksums: false}]}", "checksums are always verified"),
        ("hosts: {a: }", "hosts.a: needs exactly one of"),
        ('hosts: {"a,b": http://a}', "hosts.a,b: --host cannot name it"),
        ('hosts: {"": http://a}', "hosts.: --host cannot name it"),
        ("hosts: {a.b@c: http://a, '@a': http://a}", "hosts.@a: --host cannot name it"),
        ("aliases: {ml: x}\nhosts: {a: http://a}\naliases: {go: y}", 'config.yaml:3: "aliases" is there twice'),
        ("hosts: {a: http://a, a: http://b}", 'config.yaml:1: "a" is there twice'),
        ("runtimes: {registries: [{name: a, url: u}, {name: a, url: v}]}", 'registries[1]: "a" is there twice'),
        ("a: &x [*x]", "it is no YAML"),
        ("a: b: c", "it is no YAML"),
        ("- a", "the file: must be a mapping"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(write, text, why):
    with pytest.raises(BadConfig, match=r"^cannot (use|read) .*config\.yaml") as refused:
        client_config.read(write(text))

    assert why in str(refused.value)


def test_a_file_that_was_named_and_is_not_there_is_an_error(rnx, tmp_path):
    said = rnx("get", "jobs", "--config", str(tmp_path / "none.yaml"))

    assert (said.code, "No such file or directory" in said.err) == (2, True)


# What commands make of it


def test_the_current_host_is_spoken_to_in_its_namespace(alone, live, write):
    live.create(JOB, a_job("etl"))
    write(f"current-host: here\nhosts: {{here: {{root: {live.directory}}}, other: {{root: /nowhere, namespace: far}}}}")

    assert alone("get", "jobs", "-o", "name").out == "job.runwright.dev/etl\n"
    assert alone("get", "jobs", "--host", "other").code == 3
    assert Connection(host="other").namespace == "far"


def test_flags_and_environment_win_over_the_current_host(rnx, live, write):
    live.create(JOB, a_job("etl"))
    write("current-host: other\nhosts: {other: {root: /nowhere}}")

    assert rnx("get", "jobs", "-o", "name").out == "job.runwright.dev/etl\n"
    said = rnx("get", "jobs", "--host", "other", "--server", "http://x")
    assert (said.code, "say one of them" in said.err) == (2, True)


def test_a_host_that_is_not_in_the_file_is_named_with_those_that_are(alone, write):
    write("hosts: {a: http://a, b: http://b}")

    said = alone("get", "jobs", "--host", "c")

    assert (said.code, 'cannot find the host "c"' in said.err, "it knows a, b" in said.err) == (2, True, True)


def test_jobs_get_the_defaults_and_short_names_unless_a_flag_says_otherwise(rnx, live, write):
    write("""
default_runtime: python-3.11@latest
aliases: {ml: python-3.11-ml@1.3.2}
jobs: {defaults: {cpu_cores: 2, memory_mb: 4096, timeout_minutes: 60}}
""")

    for arguments in ((), ("--runtime=ml", "--max-memory=512", "--max-runtime=5"), ("--runtime=",)):
        assert rnx("job", "run", "--detach", "--json", *arguments, "true").code == 0

    specs = [job["spec"] for job in sorted(live.client.list(JOB)["items"], key=lambda job: job["metadata"]["uid"])]
    found = {
        (spec.get("runtime"), spec["resources"]["limits"]["memory"], spec["activeDeadlineSeconds"]) for spec in specs
    }
    assert found == {
        ("python-3.11@latest", "4096Mi", 3600), ("python-3.11-ml@1.3.2", "512Mi", 5), (None, "4096Mi", 3600)
    }  # fmt: skip


def test_an_install_declares_the_registries_of_the_file(rnx, live, write):
    write("""
aliases: {mine: my-runtime@1.0.0}
runtimes:
  registries:
    - {name: company, url: https://example.com/company, enabled: true}
    - {name: off, url: https://example.com/off, enabled: false}
""")

    assert rnx("runtime", "install", "mine", "--wait=false").code == 0

    registries = {item["metadata"]["name"]: item["spec"]["url"] for item in live.client.list(REGISTRY)["items"]}
    assert registries == {"company": "https://example.com/company"}
    assert live.client.get(RUNTIME, "", "my-runtime")["spec"]["versions"] == ["1.0.0"]
    assert rnx("runtime", "install", "my-runtime@2.0.0", "--registry=company", "--wait=false").code == 0
    assert live.client.get(RUNTIME, "", "my-runtime")["spec"]["registry"] == "company"


def test_config_shows_what_the_file_says(alone, live, write):
    path = write(f"current-host: here\nhosts: {{here: {{root: {live.directory}}}}}\naliases: {{ml: python-3.11-ml}}")

    said = alone("config")

    assert said.lines[1].split() == ["*", "here", f"unix://{live.directory}/run/runwright/api.sock"]
    assert said.lines[2].split() == ["alias", "ml", "python-3.11-ml"]
    assert str(path) in said.err
    assert json.loads(alone("config", "--json").out)["currentHost"] == "here"


def test_config_shows_what_jobs_get_without_flags_and_in_which_namespace(alone, live, write):
    write(f"""
namespace: data
hosts: {{here: {{root: {live.directory}}}, there: {{root: /none, namespace: web}}}}
default_runtime: python-3.11@latest
jobs: {{defaults: {{cpu_cores: 1.5, memory_mb: 4096, timeout_minutes: 60}}}}
""")

    told = {name: value for name, *value in (line.split() for line in alone("config").lines[1:])}

    assert told["there"][1:] == ["namespace", "web"]
    assert told["namespace"] == ["data"]
    assert {name: value for name, (value, *_) in told.items() if name.startswith("jobs.")} == {
        "jobs.defaults.runtime": "python-3.11@latest",
        "jobs.defaults.cpu": "1500m",
        "jobs.defaults.memory": "4096Mi",
        "jobs.defaults.activeDeadlineSeconds": "3600s",
    }
    as_json = json.loads(alone("config", "--json").out)
    assert (as_json["namespace"], as_json["hosts"]["there"]["namespace"]) == ("data", "web")
    assert as_json["jobs"]["defaults"] == {
        "runtime": "python-3.11@latest", "cpu": "1500m", "memory": "4096Mi", "activeDeadlineSeconds": 3600
    }  # fmt: skip


# Several hosts at once


@pytest.fixture
def pair(live, write):
    write(
        f"hosts: {{a: {{root: {live.directory}}}, b: {{root: {live.directory}, namespace: b}}, gone: {{root: /none}}}}"
    )
    live.create(JOB, a_job("etl"))


def test_the_answers_of_several_hosts_are_one_table(alone, pair):
    said = alone("--host", "a,b", "get", "jobs", "-n", "default")

    assert said.code == 0
    assert [line.split()[:2] for line in said.lines] == [["HOST", "NAME"], ["a", "etl"], ["b", "etl"]]


def test_json_of_several_hosts_is_by_host(alone, pair):
    found = json.loads(alone("get", "job/etl", "-o", "json", "-n", "default", "--host=a,b").out)

    assert {host: document["metadata"]["name"] for host, document in found.items()} == {"a": "etl", "b": "etl"}


def test_a_host_that_does_not_answer_is_told_and_the_others_are_shown(alone, pair):
    said = alone("--host=a,gone", "get", "jobs")

    assert (said.code, said.lines[-1].split()[:2]) == (5, ["a", "etl"])
    assert said.err.startswith("gone: error: ")


def test_what_goes_on_for_ever_is_for_one_host(alone, pair):
    of_one = (
        ("get", "jobs", "-w"),
        ("logs", "-f", "etl"),
        ("exec", "etl", "true"),
        ("run", "true"),
        ("edit", "job/etl"),
        ("patch", "job/etl", "--patch-file", "-"),
    )
    for arguments in of_one:
        said = alone("--host=a,b", *arguments)
        assert (said.code, "several hosts at once" in said.err) == (2, True)


def test_the_hosts_in_a_jobs_own_command_are_the_jobs(alone, live, pair):
    assert alone("--host=a,b", "-n", "default", "run", "--detach", "echo", "--host=a,b").code == 0

    commands = [job["spec"]["command"] for job in live.client.list(JOB)["items"]]
    assert commands.count(["echo", "--host=a,b"]) == 2


def test_patterns_name_hosts_of_the_file_each_once_in_its_order(alone, pair):
    said = alone("--host", "gone*,[ab],a", "get", "jobs", "-n", "default")

    assert [line.split()[:2] for line in said.lines] == [["HOST", "NAME"], ["a", "etl"], ["b", "etl"]]
    assert said.err.startswith("gone: error: ")


def test_a_pattern_that_one_host_fits_still_says_which(alone, pair):
    assert alone("get", "jobs", "-n", "default", "--host=?").lines[1].split()[:2] == ["a", "etl"]
    assert alone("get", "jobs", "-n", "default", "--host=a*").lines[1].split()[:2] == ["a", "etl"]


def test_a_pattern_that_no_host_fits_is_refused_with_those_there_are(alone, pair):
    said = alone("get", "jobs", "--host", "a,x*")

    assert (said.code, 'cannot find a host like "x*"' in said.err, "it knows a, b, gone" in said.err) == (2, True, True)


def test_patterns_are_of_the_file_that_config_names(alone, live, write, tmp_path):
    write("hosts: {a: {root: /nowhere}}")
    other = tmp_path / "other.yaml"
    other.write_text(f"hosts: {{z: {{root: {live.directory}}}}}")
    live.create(JOB, a_job("etl"))

    said = alone("get", "jobs", "--host", "*", "--config", str(other))

    assert (said.code, said.lines[1].split()[:2]) == (0, ["z", "etl"])


def test_of_many_hosts_some_are_asked_at_a_time(tmp_path, monkeypatch, capsys):
    """A host's process ends once as many have begun as there may be at once; then the next may begin."""
    names = tuple(f"h{number}" for number in range(several.AT_ONCE + 20))
    begun = []
    start = several._start

    def counted(name, arguments, run_one, given):
        begun.append(name)
        assert len(begun) - len(list(tmp_path.glob("*.ended"))) <= several.AT_ONCE
        asked = start(name, arguments, run_one, given)
        if len(begun) == several.AT_ONCE:
            (tmp_path / "go").touch()
        return asked

    def run_one(arguments):
        while not (tmp_path / "go").exists():
            select.poll().poll(5)
        print(arguments[-1])
        (tmp_path / f"{arguments[-1]}.ended").touch()
        return 0

    monkeypatch.setattr(several, "_start", counted)
    assert several.ask(SeveralHosts("h*", names), ["--host", "h*"], run_one) == 0

    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [[name, name] for name in names]
