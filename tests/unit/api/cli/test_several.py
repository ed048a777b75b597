"""Several hosts at once: said once what is wrong, each line with its host, and who is not done."""

import json
import os
import signal
import subprocess
import sys

import click
import pytest
import yaml

from api.cli import several
from api.cli.connection import SeveralHosts
from api.kinds import JOB, NETWORK
from support.objects import a_job


@pytest.fixture
def alone(rnx, monkeypatch):
    """`rnx` with no other word of where the server is than the file's."""
    monkeypatch.delenv("RUNWRIGHT_ROOT")
    return rnx


@pytest.fixture
def config(live, tmp_path, monkeypatch):
    """Hosts a and b that are the same daemon, b in another namespace; and two that are not there."""
    path = tmp_path / "config.yaml"
    here = f"{{root: {live.directory}}}"
    path.write_text(f"hosts: {{a: {here}, b: {here}, gone: {{root: /none}}, away: {{root: /none}}}}")
    monkeypatch.setenv("RNX_CONFIG", str(path))
    live.create(JOB, a_job("etl"))
    live.create(JOB, a_job("load"))
    return path


# What is wrong with the command


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("get", "jobs", "--colour"), "No such option"),
        (("get", "jbos"), "jbos"),
        (("get", "jobs", "-o", "table"), 'cannot print as "table"'),
        (("exec", "etl", "true"), "on several hosts at once"),
        (("run", "--max-memory=lots", "--detach", "true"), "lots"),
        (("get", "jobs", "-s", "http://x"), "each say which server"),
        (("completion", "bash"), "completion speaks to no host: leave --host out"),
    ],
)
def test_a_wrong_command_is_refused_once_and_no_host_is_asked(alone, config, arguments, why):
    said = alone("--host=a,gone", *arguments)

    assert (said.code, said.out, said.err.count("Error: ")) == (2, "", 1)
    assert why in said.err
    assert "a: " not in said.err


def test_a_name_that_is_no_host_is_refused_before_any_is_asked(alone, live, config):
    said = alone("--host=a,typo", "delete", "job", "etl")

    assert (said.code, 'cannot find the host "typo"' in said.err) == (2, True)
    assert live.client.get(JOB, "default", "etl")["metadata"]["name"] == "etl"


@pytest.mark.parametrize("option", ["--host", "--server", "--root", "--kubeconfig", "--config", "--namespace"])
def test_an_empty_word_of_where_is_refused_and_not_the_default(rnx, option):
    said = rnx("get", "jobs", option, "")

    assert (said.code, f"{option} is empty: write {option} " in said.err) == (2, True)


# Who is not done


def test_who_is_not_done_is_counted_and_named_as_the_next_host_takes_it(alone, config):
    said = alone("--host=*", "get", "job", "etl", "-o", "name")

    assert said.code == 5
    assert said.err.splitlines()[-1] == "2 of 4 hosts done, 2 not reached; only those again: --host gone,away"
    again = said.err.splitlines()[-1].split()[-1]
    assert alone("--host", again, "get", "job", "etl").code == 3


def test_what_several_hosts_say_of_an_error_is_said_once(alone, config):
    said = alone("--host=a,b", "get", "job", "none")

    assert said.code == 1
    assert said.err.splitlines() == [
        'a,b: Error from server (NotFound): jobs.runwright.dev "none" not found',
        "0 of 2 hosts done, 2 refused; only those again: --host a,b",
    ]


def test_of_many_hosts_with_one_error_only_some_are_named_before_it(capsys):
    names = tuple(f"h{number}" for number in range(6))

    def run_one(_):
        sys.stderr.write("no\n")
        return 3

    assert several.ask(SeveralHosts("h*", names), ["--host=h*"], run_one) == 3
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "h0,h1,h2 and 3 more: no"
    assert said[1] == "0 of 6 hosts done, 6 not reached; only those again: --host h0,h1,h2,h3,h4,h5"


def test_what_is_left_to_be_read_is_read_however_many_were_before():
    """As after an interrupt, which finds some hosts read to their end and others not."""
    words = ["--host=x"]
    asked = [several._start(str(number), words, lambda _: click.echo("text") or 0) for number in range(40)]

    several._gather(iter(asked[: several.AT_ONCE]))
    several._gather(iter(asked))

    assert [each.said for each in asked] == [b"text\n"] * 40
    assert {os.waitpid(each.pid, 0)[1] for each in asked} == {0}


def test_where_all_are_done_nothing_is_added(alone, config):
    assert alone("--host=a,b", "get", "jobs").err == ""


def test_hosts_are_read_from_a_file_of_names_and_patterns(alone, config, tmp_path):
    listed = tmp_path / "hosts"
    listed.write_text("b, a  # the first two\n# gone\n[a]\n")

    said = alone(f"--host=@{listed}", "get", "job/etl", "-o", "name")
    missing = alone(f"--host=@{tmp_path}/none", "get", "jobs")

    assert said.lines == ["b\tjob.runwright.dev/etl", "a\tjob.runwright.dev/etl"]
    assert (missing.code, "cannot read the hosts in" in missing.err) == (2, True)


def test_an_interrupt_shows_what_was_said_until_then_and_who_is_left(live, config, started):
    """The second host never answers; the first has."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = config.read_text().replace("root: /none", f'server: "http://127.0.0.1:{silent.getsockname()[1]}"', 1)
        config.write_text(text)
        process = started("--host=a,gone", "get", "job/etl", "-o", "name")
        connection, _ = silent.accept()
        with connection:
            connection.recv(100)
            process.await_its_first_child()
            said = process.interrupted()

    assert said.code == 130
    assert said.err.splitlines()[-1].endswith("only those again: --host gone")
    assert said.out == "a\tjob.runwright.dev/etl\n"


# Each line with its host


def test_lines_have_their_host_and_a_tab_before_them(alone, config):
    said = alone("--host=a,b", "get", "jobs", "-o", "name")

    assert said.lines == [
        "a\tjob.runwright.dev/etl", "a\tjob.runwright.dev/load", "b\tjob.runwright.dev/etl", "b\tjob.runwright.dev/load",
    ]  # fmt: skip


def test_xargs_gives_each_line_back_to_rnx(live, alone, config):
    lines = alone("--host=a,b", "get", "job", "load", "-o", "name").lines[:1]

    command = ["xargs", "-L1", sys.executable, "-m", "api.cli.main", "delete", "--wait=false", "--host"]
    done = subprocess.run(command, input=lines[0], text=True, capture_output=True, check=False)

    assert (done.stdout, done.stderr) == ('job.runwright.dev "load" deleted\n', "")


def test_one_word_of_each_is_no_table(alone, config):
    said = alone("--host=a,b", "get", "job/etl", "-o", 'jsonpath={.kind}{"\\n"}SUCCEEDED')

    assert said.lines == ["a\tJob", "a\tSUCCEEDED", "b\tJob", "b\tSUCCEEDED"]
    assert alone("--host=a,b", "get", "job/etl", "-o", 'jsonpath={"OK"}').lines == ["a\tOK", "b\tOK"]


def test_yaml_of_several_hosts_is_by_host(alone, config):
    found = yaml.safe_load(alone("get", "job/etl", "-o", "yaml", "--host=a,b").out)

    assert {host: document["metadata"]["name"] for host, document in found.items()} == {"a": "etl", "b": "etl"}


def test_json_of_several_hosts_stays_by_host(alone, config):
    assert list(json.loads(alone("get", "jobs", "-o", "json", "--host=b,a").out)) == ["b", "a"]


def test_what_comes_on_standard_input_is_for_all_of_them(live, config, monkeypatch):
    network = {"apiVersion": NETWORK.api_version, "kind": "Network", "metadata": {"name": "lan"}}
    command = [sys.executable, "-m", "api.cli.main", "--host=a,b", "apply", "-f", "-", "-o", "name"]

    done = subprocess.run(command, input=json.dumps(network), text=True, capture_output=True, check=False)

    assert done.stdout.splitlines() == ["a\tnetwork.runwright.dev/lan", "b\tnetwork.runwright.dev/lan"]
    assert live.client.get(NETWORK, "default", "lan")["metadata"]["name"] == "lan"


def test_what_is_completed_for_several_hosts_is_what_one_of_them_has(live, config, monkeypatch):
    environment = {"_RNX_COMPLETE": "bash_complete", "COMP_WORDS": "rnx --host=a,b get jobs e", "COMP_CWORD": "4"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    done = subprocess.run(
        [sys.executable, "-m", "api.cli.main"], text=True, capture_output=True, check=False, timeout=30
    )

    assert done.stdout == "plain,etl\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
