"""No name that is empty or leads elsewhere reaches an object: said of every command that takes one."""

import click
import pytest

from api.cli.main import rnx as root
from api.errors import NotFound
from api.kinds import JOB, NETWORK, TOKEN, VOLUME
from api.meta import API_VERSION
from support.objects import a_job

ELSEWHERE = ["../jobs/srv", "srv?x=1", "%73rv"]
_MORE = {
    "create job": ["--from=cronjob/x"], "exec": ["--", "true"], "wait": ["--for=delete"], "cp": ["target"],
    "registry keygen": [], "runtime publish": ["--registry-dir=/nowhere"], "registry sign": ["--key=/nowhere"],
}  # fmt: skip
_HAS_WORDS = ("get", "describe", "delete", "wait")


def _leaves(command, path=()):
    if not isinstance(command, click.Group):
        return [(" ".join(path), command)]
    context = click.Context(command)
    return [leaf for name in command.table for leaf in _leaves(command.get_command(context, name), (*path, name))]


def _named(command):
    return [each for each in command.params if isinstance(each, click.Argument) and each.type is not click.UNPROCESSED]


LEAVES = _leaves(root)
NAMING = [path for path, command in LEAVES if _named(command)]
OF_OBJECTS = [path for path, command in LEAVES if any(each.type is click.STRING for each in _named(command))]


def _arguments(path, name):
    kind = ["job"] if path in _HAS_WORDS else []
    return [*path.split(), *kind, name, *_MORE.get(path, [])]


@pytest.mark.invariant("A7")
def test_an_empty_name_is_refused_before_anything_is_sent(rnx, monkeypatch, tmp_path):
    monkeypatch.setenv("RUNWRIGHT_ROOT", str(tmp_path))  # Where nobody answers: who asks ends with 3.

    ended = {path: rnx(*_arguments(path, "")) for path in OF_OBJECTS}

    assert {path: said.err for path, said in ended.items() if said.code != 2 or "a name is empty" not in said.err} == {}


def test_an_empty_name_of_a_file_is_refused(rnx, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    ended = {path: rnx(*_arguments(path, "")) for path in NAMING if path not in OF_OBJECTS}

    assert {path: said.err for path, said in ended.items() if said.code not in (1, 2)} == {}
    assert not list(tmp_path.iterdir())


def test_the_commands_that_take_a_name_were_found():
    assert {"get", "delete", "logs", "volume remove", "network remove", "admin token revoke", "job stop"} < {*NAMING}


FLAGS = [
    ("job run", "--network"), ("job run", "--max-receive"), ("job run", "--max-send"), ("job run", "--name"),
    ("job run", "--priority"), ("network create", "--cidr"), ("workflow run", "--name"), ("get", "--output"),
    ("wait", "--for"), ("admin token create", "--user"), ("volume create", "--copy-of"), ("admin token create", "--in"),
    ("admin token create", "--verb"), ("admin token create", "--resource"), ("admin token create", "--group"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "flag"), FLAGS)
def test_a_flag_that_is_given_and_empty_is_no_default_and_no_missing_limit(rnx, monkeypatch, tmp_path, path, flag):
    monkeypatch.setenv("RUNWRIGHT_ROOT", str(tmp_path))  # Where nobody answers: who asks ends with 3.

    said = rnx(*path.split(), f"{flag}=", *(("--network=net",) if "send" in flag or "receive" in flag else ()), "x")

    assert (said.code, f"{flag} is empty: write {flag} " in said.err) == (2, True)


def test_selectors_and_the_runtime_may_be_empty_as_that_means_all_and_none(rnx, live):
    live.create(JOB, a_job("srv"))

    assert rnx("get", "jobs", "-o", "name", "-l", "", "--field-selector=").lines == ["job.runwright.dev/srv"]
    assert "runtime" not in rnx("run", "--runtime=", "--dry-run", "true").out


@pytest.mark.parametrize("file", ["apply", "delete"])
def test_an_empty_name_of_a_file_is_not_the_current_directory(rnx, live, monkeypatch, tmp_path, file):
    (tmp_path / "a.yaml").write_text(f"apiVersion: {API_VERSION}\nkind: Job\nmetadata: {{name: srv}}\n")
    monkeypatch.chdir(tmp_path)
    live.create(JOB, a_job("srv"))

    said = rnx(file, "-f", "")

    assert (said.code, "the name of a file is empty" in said.err) == (2, True)
    assert live.get(JOB, "srv")["spec"]["command"] == a_job()["spec"]["command"]


def _everything(live):
    return {kind.name: live.client.list(kind)["items"] for kind in (JOB, NETWORK, VOLUME, TOKEN)}


@pytest.fixture
def peopled(live):
    live.create(JOB, a_job("srv"))
    for kind in (NETWORK, VOLUME):
        live.create(kind, {"apiVersion": API_VERSION, "kind": kind.name, "metadata": {"name": "srv"}, "spec": {}})
    return live


@pytest.mark.invariant("A7")
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_that_leads_elsewhere_reaches_no_object(rnx, peopled, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    before = _everything(peopled)

    ended = {path: rnx(*_arguments(path, name)).code for path in OF_OBJECTS}

    assert _everything(peopled) == before
    assert ended.pop("wait") in (0, 2)  # There is none, which is what was waited for.
    assert {path: code for path, code in ended.items() if code not in (1, 2)} == {}


def test_a_job_is_not_found_by_the_path_of_another_kind(rnx, peopled):
    said = rnx("job", "delete", "volume/srv")

    assert (said.code, "is no job" in said.err) == (2, True)
    assert peopled.get(JOB, "srv")
    assert rnx("job", "delete", "job.runwright.dev/srv").code == 0


@pytest.mark.parametrize("name", ["../jobs/srv", "..", "srv%2f", "srv?x", "5", "[srv]"])
def test_what_a_file_names_reaches_no_other_object(rnx, peopled, tmp_path, name):
    quoted = name if name in ("5", "[srv]") else f'"{name}"'
    (tmp_path / "a.yaml").write_text(
        f"apiVersion: {API_VERSION}\nkind: Volume\nmetadata: {{name: {quoted}}}\nspec: {{}}\n"
    )
    before = _everything(peopled)

    ended = [rnx(verb, "-f", str(tmp_path / "a.yaml")) for verb in ("apply", "delete")]

    assert _everything(peopled) == before
    assert [said.code for said in ended] == [1, 1]


def test_a_file_whose_metadata_is_no_map_is_refused(rnx, tmp_path):
    (tmp_path / "a.yaml").write_text(f"apiVersion: {API_VERSION}\nkind: Volume\nmetadata: [srv]\n")

    assert rnx("delete", "-f", str(tmp_path / "a.yaml")).err.count("it names no object") == 1


def test_a_namespace_that_leads_elsewhere_is_refused(rnx, peopled):
    said = rnx("-n", "../namespaces/default", "get", "jobs")

    assert said.code == 2
    assert 'cannot name a namespace "../namespaces/default": a name may not contain "/"' in said.err


def test_who_says_all_still_deletes_all(rnx, peopled):
    assert rnx("delete", "jobs", "--all").code == 0
    with pytest.raises(NotFound):
        peopled.get(JOB, "srv")
