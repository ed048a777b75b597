"""kubectl on a real daemon over TLS: runs as pods, their logs, streams and ports, events, and what goes with what."""

import contextlib
import os
import select
import socket
import subprocess

import pytest
import yaml

from support.kubectl import Kubectl
from support.served import a_shell_job, a_space

pytestmark = pytest.mark.needs_root

SERVER = """
use strict; use IO::Socket::IP;
my $s = IO::Socket::IP->new(LocalHost => "127.0.0.1", LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die "$@";
$| = 1; print "listening\\n";
while (my $c = $s->accept) { my $b; while (sysread($c, $b, 4096)) { syswrite($c, "<$b>") } close $c }
"""
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}


@pytest.fixture(scope="module")
def kubectl(served, kubeconfig, kubectl_binary, kubectl_home):
    space = a_space(served, kubectl_binary.name.replace(".", "-"))
    return Kubectl("", kubectl_home, space, kubectl_binary, kubeconfig)


@pytest.fixture(scope="module")
def held(kubectl):
    """The pod of a run that goes on, and listens on a port."""
    job = a_job("held", 'echo begun; exec perl -e "$SERVER"', env=[{"name": "SERVER", "value": SERVER}])
    kubectl("create", "-f", "-", stdin=job)
    ready(kubectl, "held-1")
    kubectl("exec", "held-1", "--", "sh", "-c", "until grep -q ' 0A ' /proc/net/tcp; do :; done")
    return "held-1"


def a_job(name, script, **spec):
    return a_shell_job(name, script, **spec)


def ready(kubectl, pod):
    kubectl("wait", f"pod/{pod}", "--for=create", "--timeout=20s")
    kubectl("wait", f"pod/{pod}", "--for=condition=Ready", "--timeout=20s")


def test_a_job_is_created_waited_for_and_read(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("hello", "echo hello; echo there"))
    kubectl("wait", "job/hello", "--for=condition=Complete", "--timeout=20s")

    assert kubectl("logs", "hello-1").out == "hello\nthere\n"
    assert kubectl("logs", "hello-1", "--tail=1").out == "there\n"
    assert kubectl("logs", "-l", "runwright.dev/job-name=hello").out == "hello\nthere\n"
    assert "hello-1" in kubectl("get", "pods").out
    assert "Succeeded" in kubectl("describe", "pod", "hello-1").out
    assert "Completed" in kubectl("get", "pods").out


def test_a_job_that_fails_says_so_in_its_condition_and_its_pod(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("bad", "exit 3"))
    kubectl("wait", "job/bad", "--for=condition=Failed", "--timeout=20s")

    (status,) = kubectl.json("get", "pod", "bad-1")["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 3


def test_a_log_is_followed_to_its_end(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("slow", "echo one; sleep 0.5; echo two"))
    kubectl("wait", "pod/slow-1", "--for=create", "--timeout=10s")
    kubectl("wait", "pod/slow-1", "--for=jsonpath={.status.startTime}", "--timeout=10s")

    assert kubectl("logs", "-f", "slow-1").out == "one\ntwo\n"


def test_deleting_a_pod_ends_its_run_and_the_job_runs_it_again(kubectl):
    kubectl(
        "create",
        "-f",
        "-",
        stdin=a_job("again", "trap 'exit 9' TERM; sleep 60 & wait", backoffLimit=3, backoffSeconds=0.1),
    )
    ready(kubectl, "again-1")
    kubectl("delete", "pod", "again-1", "--grace-period=5")
    kubectl("wait", "pod/again-2", "--for=create", "--timeout=20s")

    assert kubectl.json("get", "job", "again")["status"]["runs"][0]["reason"] == "PodDeleted"
    assert "again-1" not in kubectl("get", "pods").out
    kubectl("delete", "job", "again")


def test_each_index_of_a_job_is_a_pod_with_its_log(kubectl):
    script = "echo part $JOB_COMPLETION_INDEX"
    job = a_job("parts", script, completions=3, parallelism=2, completionMode="Indexed")
    kubectl("create", "-f", "-", stdin=job)
    kubectl("wait", "job.runwright.dev/parts", "--for=condition=Complete", "--timeout=30s")

    chosen = ("-l", "runwright.dev/job-name=parts,batch.kubernetes.io/job-completion-index=2")
    assert kubectl("get", "pods", *chosen, "-o", "name").out.split() == ["pod/parts-2-3"]
    assert kubectl("logs", "parts-2-3").out == "part 2\n"
    assert kubectl("get", "job.runwright.dev", "parts", "--no-headers").out.split()[3] == "3/3"


def test_a_run_that_does_not_heed_is_killed_at_once_when_there_is_no_grace(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("deaf", "trap '' TERM; while :; do sleep 1; done"))
    ready(kubectl, "deaf-1")
    kubectl("delete", "pod", "deaf-1", "--force", "--grace-period=0", "--timeout=15s")

    assert "NotFound" in kubectl("get", "pod", "deaf-1", code=1).err


def test_what_exists_for_a_job_goes_with_it(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("owner", "true"))
    metadata = kubectl.json("get", "job", "owner")["metadata"]
    reference = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Job", "name": "owner", "uid": metadata["uid"]}
    dependent = a_job("dependent", "true")
    dependent["metadata"]["ownerReferences"] = [reference]
    kubectl("create", "-f", "-", stdin=dependent)
    kubectl("delete", "job", "owner")

    kubectl("wait", "job/dependent", "--for=delete", "--timeout=20s")
    assert "NotFound" in kubectl("get", "job", "dependent", code=1).err


def test_the_node_says_what_the_host_has(kubectl):
    (node,) = kubectl.json("get", "nodes")["items"]

    assert {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}["Ready"] == "True"
    assert node["status"]["capacity"]["cpu"]
    assert "Ready" in kubectl("get", "nodes").out


# Streams


def test_a_command_is_executed_with_its_streams_and_exit_code(kubectl, held):
    said = kubectl("exec", "-i", held, "--", "sh", "-c", "cat; echo err >&2; exit 7", stdin="in", code=7)

    assert (said.out, said.err.split("\n")[0]) == ("in", "err")
    assert "hello" in kubectl("exec", held, "--", "sh", "-c", "seq 1 20000 >&2; echo hello").out


def test_a_command_that_is_not_there_says_so(kubectl, held):
    said = kubectl("exec", held, "--", "no-such-program", code=127)

    assert "no-such-program" in said.err


def test_a_command_that_is_not_there_says_so_on_a_terminal_too(kubectl, held):
    ours, theirs = os.openpty()
    printed = bytearray()
    command = kubectl.command("exec", "-it", held, "--", "no-such-program")
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=kubectl.env) as process:
        os.close(theirs)
        with (
            os.fdopen(ours, "rb", buffering=0) as terminal,
            contextlib.suppress(OSError),
        ):  # EIO: nobody has it any more.
            while block := terminal.read(4096):
                printed += block

    assert process.returncode == 127
    assert b"no-such-program" in printed


def test_files_are_copied_in_and_out(kubectl, held, tmp_path):
    content = os.urandom(1 << 20)
    (tmp_path / "file").write_bytes(content)

    kubectl("cp", str(tmp_path / "file"), f"{held}:/work/file")
    kubectl("cp", f"{held}:/work/file", str(tmp_path / "back"))

    assert (tmp_path / "back").read_bytes() == content


def test_what_a_run_prints_is_attached_to_until_it_ends(kubectl):
    script = "while [ ! -e go ]; do echo tick; sleep 0.05; done; echo heard"
    kubectl("create", "-f", "-", stdin=a_job("talks", script))
    ready(kubectl, "talks-1")
    attached = subprocess.Popen(
        kubectl.command("attach", "talks-1"), env=kubectl.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with attached:
        assert select.select([attached.stdout], [], [], 20)[0]
        kubectl("exec", "talks-1", "--", "touch", "go")
        out, err = attached.communicate(timeout=30)

    assert (attached.returncode, out[-6:]) == (0, b"heard\n"), err


def test_what_is_piped_into_attach_is_what_the_job_reads(kubectl):
    script = "echo begun; cat; echo ended"
    kubectl("create", "-f", "-", stdin=a_job("reads", script, stdin=True, stdinOnce=True))
    ready(kubectl, "reads-1")
    fields = "-o=jsonpath={.spec.containers[0].stdin} {.spec.containers[0].stdinOnce}"
    assert kubectl("get", "pod", "reads-1", fields).out == "true true"

    said = kubectl("attach", "-i", "reads-1", stdin="one\ntwo\n")

    assert said.out.endswith("one\ntwo\nended\n")
    kubectl("wait", "job/reads", "--for=condition=Complete", "--timeout=20s")
    assert kubectl("logs", "reads-1").out == "begun\none\ntwo\nended\n"


def test_logs_have_every_option(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("chatty", "for n in 1 2 3; do echo line $n; done"))
    kubectl("wait", "job/chatty", "--for=condition=Complete", "--timeout=20s")

    assert kubectl("logs", "chatty-1", "--tail=1").out == "line 3\n"
    assert kubectl("logs", "chatty-1", "--limit-bytes=4").out == "line"
    assert kubectl("logs", "chatty-1", "--since=1h").out.count("\n") == 3
    assert kubectl("logs", "chatty-1", "--since-time=2099-01-01T00:00:00Z").out == ""
    assert kubectl("logs", "chatty-1", "--timestamps").out.split("\n")[0].endswith("Z line 1")
    assert kubectl("logs", "--prefix", "-l", "runwright.dev/job-name=chatty").out.startswith(
        "[pod/chatty-1/job] line 1"
    )
    assert "previous terminated" in kubectl("logs", "chatty-1", "--previous", code=1).err
    assert "not valid" in kubectl("logs", "chatty-1", "-c", "other", code=1).err


@contextlib.contextmanager
def forwarding(kubectl, pod, ports):
    """Have ports forwarded; give the port of this host, and the process."""
    command = kubectl.command("port-forward", f"pod/{pod}", ports, "--address=127.0.0.1")
    forward = subprocess.Popen(command, env=kubectl.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with forward:
        try:
            line = forward.stdout.readline()
            assert line.startswith("Forwarding from 127.0.0.1:"), (line, forward.stderr.read())
            yield int(line.split(" -> ")[0].rpartition(":")[2]), forward
        finally:
            forward.terminate()


def test_a_port_is_forwarded_for_many_connections(kubectl, held):
    with forwarding(kubectl, held, ":8000") as (port, _):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(b"ping")
                assert connection.recv(100) == b"<ping>"
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(100) == b""


def test_a_port_that_nobody_listens_on_is_told(kubectl, held):
    with forwarding(kubectl, held, ":8001") as (port, forward):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            assert connection.recv(100) == b""
        assert "cannot connect to port 8001 of the run" in forward.stderr.readline()


def test_a_pod_that_has_ended_is_not_gone_into(kubectl):
    kubectl("create", "-f", "-", stdin=a_job("over", "true"))
    kubectl("wait", "job/over", "--for=condition=Complete", "--timeout=20s")

    assert "completed pod" in kubectl("exec", "over-1", "--", "true", code=1).err
    assert "not running" in kubectl("port-forward", "pod/over-1", ":80", code=1).err


def test_what_pods_use_is_shown(kubectl, held):
    assert held in kubectl("top", "pods").out
    assert "CPU(cores)" in kubectl("top", "node").out


# Objects


def test_a_watch_prints_each_change(kubectl):
    command = kubectl.command("get", "jobs", "--watch-only", "-o", "name")
    with subprocess.Popen(command, env=kubectl.env, stdout=subprocess.PIPE, text=True) as watching:
        try:
            for number in range(100):  # Until the watch has begun, which it does not tell.
                kubectl("create", "-f", "-", stdin=a_job(f"watched-{number}", "true", suspend=True))
                if select.select([watching.stdout], [], [], 0.2)[0]:
                    break
            assert watching.stdout.readline().startswith("job.runwright.dev/watched-")
        finally:
            watching.terminate()
    assert "deleted" in kubectl("delete", "jobs", *(f"watched-{each}" for each in range(number + 1))).out


def test_what_a_directory_has_no_more_is_pruned(kubectl, tmp_path):
    for name in ("kept", "dropped"):
        document = a_job(name, "true", suspend=True, labels={"set": "p"})
        kubectl("apply", "-f", "-", stdin=document)
    kept = a_job("kept", "true", suspend=True, labels={"set": "p"})
    allowed = "--prune-allowlist=runwright.dev/v1alpha1/Job"

    said = kubectl("apply", "--prune", "-l", "set=p", allowed, "-f", "-", stdin=kept).out

    assert "job.runwright.dev/dropped pruned" in said
    kubectl("wait", "--for=delete", "job/dropped", "--timeout=30s")  # It is not waited for by who prunes.
    assert "NotFound" in kubectl("get", "job", "dropped", code=1).err


def test_an_applyset_prunes_what_it_has_no_more(kubectl, tmp_path):
    def apply(*documents):
        path = tmp_path / "set.yaml"
        path.write_text("---\n".join(yaml.safe_dump(each) for each in documents))
        return kubectl("apply", "--server-side", "--prune", "--applyset=configmaps/set", "-f", str(path)).out

    apply(a_job("one", "true", suspend=True), a_job("two", "true", suspend=True))

    assert "two pruned" in apply(a_job("one", "true", suspend=True))


def test_config_maps_and_secrets_are_typed(kubectl):
    kubectl("create", "configmap", "typed", "--from-literal=a=1")
    kubectl("create", "secret", "generic", "key", "--from-literal=k=v")

    assert kubectl.json("get", "configmap", "typed")["data"] == {"a": "1"}
    assert kubectl("get", "secret", "key").out.split()[-3:-1] == ["Opaque", "1"]
    assert "k:  1 bytes" in kubectl("describe", "secret", "key").out


def test_core_kinds_are_applied_both_ways(kubectl):
    assert kubectl("apply", "-f", "-", stdin=CONFIG_MAP).out == "configmap/settings created\n"
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=CONFIG_MAP).out
    changed = CONFIG_MAP | {"data": {"a": "2"}}
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=changed).out
    assert kubectl.json("get", "configmap", "settings")["data"] == {"a": "2"}


def test_an_editor_changes_what_it_is_shown(kubectl, tmp_path):
    kubectl("create", "-f", "-", stdin=a_job("edited", "true", suspend=True))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/backoffLimit: 0/backoffLimit: 4/' \"$1\"\n")
    editor.chmod(0o755)
    done = subprocess.run(
        kubectl.command("edit", "job", "edited"), env=kubectl.env | {"KUBE_EDITOR": str(editor)}, check=False,
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip

    assert "job.runwright.dev/edited edited" in done.stdout, done.stderr
    assert kubectl.json("get", "job", "edited")["spec"]["backoffLimit"] == 4


def test_deletion_in_the_foreground_waits_for_dependents_and_orphans_stay(kubectl):
    for how in ("foreground", "orphan"):
        kubectl("create", "-f", "-", stdin=a_job(f"{how}-owner", "true", suspend=True))
        uid = kubectl.json("get", "job", f"{how}-owner")["metadata"]["uid"]
        dependent = a_job(f"{how}-dependent", "true", suspend=True)
        owner = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Job", "name": f"{how}-owner", "uid": uid}
        dependent["metadata"]["ownerReferences"] = [owner | {"blockOwnerDeletion": True}]
        kubectl("create", "-f", "-", stdin=dependent)
        kubectl("delete", "job", f"{how}-owner", f"--cascade={how}", "--timeout=20s")

    assert "NotFound" in kubectl("get", "job", "foreground-dependent", code=1).err
    assert "ownerReferences" not in kubectl.json("get", "job", "orphan-dependent")["metadata"]


def test_sorted_and_labelled_columns_are_made_of_whole_objects(kubectl):
    for name, team in (("col-b", "blue"), ("col-a", "red")):
        kubectl("create", "-f", "-", stdin=a_job(name, "true", suspend=True, labels={"team": team, "col": "shown"}))

    rows = kubectl("get", "jobs", "-l", "col=shown", "--sort-by=.metadata.name", "-L", "team", "--no-headers").out
    assert [row.split()[0] for row in rows.splitlines()] == ["col-a", "col-b"]
    assert [row.split()[-1] for row in rows.splitlines()] == ["red", "blue"]
    custom = kubectl("get", "jobs", "-l", "col=shown", "-o", "custom-columns=N:.metadata.name,S:.spec.suspend").out
    assert custom.split() == ["N", "S", "col-a", "true", "col-b", "true"]


def test_pages_of_lists_are_followed(kubectl):
    for number in range(3):
        kubectl("create", "-f", "-", stdin=a_job(f"page-{number}", "true", suspend=True, labels={"page": "shown"}))

    listed = kubectl("get", "jobs", "-l", "page=shown", "--chunk-size=1", "-o", "name").out

    assert len(listed.split()) == 3
    assert len(kubectl("delete", "jobs", "-l", "page=shown").out.splitlines()) == 3


def test_health_metrics_and_openapi_are_raw_text(kubectl):
    assert kubectl("get", "--raw", "/readyz").out == "ok"
    assert "runwright_" in kubectl("get", "--raw", "/metrics").out
    assert "apis/runwright.dev/v1alpha1" in kubectl("get", "--raw", "/openapi/v3").out


def test_a_quota_of_some_jobs_only_is_made_and_described_and_holds(kubectl):
    kubectl("create", "quota", "short", "--hard=pods=1", "--scopes=Terminating,BestEffort")
    one, two = (a_job(name, "sleep 1000", activeDeadlineSeconds=600) for name in ("short-one", "short-two"))
    kubectl("create", "-f", "-", stdin=one)

    refused = kubectl("create", "-f", "-", stdin=two, code=1)
    kubectl("create", "-f", "-", stdin=a_job("endless", "sleep 1000"))
    kubectl("wait", "quota/short", "--for=jsonpath={.status.used.pods}=1", "--timeout=20s")
    told = kubectl("describe", "quota", "short").out
    kubectl("delete", "quota/short", "job/short-one", "job/endless")

    assert "exceeded quota: short, requested: pods=1, used: pods=1, limited: pods=1" in refused.err
    assert "Matches all pods that have an active deadline" in told


def test_a_quota_is_made_and_described_and_a_node_says_what_it_has_promised(kubectl):
    kubectl("create", "quota", "few", "--hard=count/jobs.runwright.dev=100,requests.cpu=50")
    kubectl("create", "-f", "-", stdin=a_job("asks", "sleep 1000", resources={"requests": {"cpu": "7m"}}))
    ready(kubectl, "asks-1")

    kubectl("wait", "quota/few", "--for=jsonpath={.status.used}", "--timeout=20s")
    told = kubectl("describe", "quota", "few").out
    node = kubectl("describe", "node").out
    kubectl("delete", "quota/few", "job/asks")

    assert [line.split()[0] for line in told.splitlines()[4:6]] == ["count/jobs.runwright.dev", "requests.cpu"]
    assert [line.split()[2:4] for line in node.splitlines() if "asks-1" in line] == [["7m", "(0%)"]]
