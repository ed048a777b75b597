"""kr8s, asynchronous and by discovery, against a real daemon."""

import asyncio
import contextlib
import gc
import itertools

import kr8s
import pytest
from kr8s.asyncio import api as api_of
from kr8s.asyncio.objects import ConfigMap, Namespace, Pod, Secret, new_class

from support.served import GROUP, VERSION, a_shell_job, a_space

# kr8s leaves connections to the garbage collector.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

Job = new_class(kind="Job", version=f"{GROUP}/{VERSION}", namespaced=True)
PORT = 8000
SERVER = f"""
use strict; use IO::Socket::IP;
my $s = IO::Socket::IP->new(LocalHost => "127.0.0.1", LocalPort => {PORT}, Listen => 5, ReuseAddr => 1) or die "$@";
$| = 1; print "listening\\n";
while (my $c = $s->accept) {{ my $b; while (sysread($c, $b, 4096)) {{ syswrite($c, "<$b>") }} close $c }}
"""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def loop(served):
    with asyncio.Runner() as runner:
        yield runner
    gc.collect()


@pytest.fixture(scope="module")
def client(loop, kubeconfig):
    return loop.run(_opened(kubeconfig))


async def _opened(kubeconfig):
    return await api_of(kubeconfig=str(kubeconfig))


@pytest.fixture(scope="module", autouse=True)
def closed(loop, client):
    yield
    loop.run(client._session.aclose())


@pytest.fixture
def space(served):
    return a_space(served, f"kr8s-{next(_numbers)}")


@pytest.fixture(scope="module")
def held(served, loop, client):
    env = [{"name": "SERVER", "value": SERVER}]
    job = a_shell_job("kr-held", 'echo begun; exec perl -e "$SERVER"', env=env)
    loop.run(_create(client, job, "default"))
    served.printed("kr-held", "listening")
    return loop.run(Pod.get("kr-held-1", namespace="default", api=client))


async def _create(client, document, space):
    job = await Job(document | {"metadata": document["metadata"] | {"namespace": space}}, api=client)
    await job.create()
    return job


def suspended(name, **fields):
    return a_shell_job(name, "true", suspend=True, **fields)


def in_loop(test):
    """Run an asynchronous test in the module's loop."""

    def run(loop, client, space):
        loop.run(test(client, space))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_loop
async def test_version_and_resources_are_told(client, space):
    resources = {(each["version"], each["kind"]) for each in await client.api_resources()}

    assert (await client.version())["gitVersion"].startswith("v1.32.0+runwright.")
    assert {("runwright.dev/v1alpha1", "Job"), ("v1", "Pod"), ("events.k8s.io/v1", "Event")} <= resources


@in_loop
async def test_who_i_am_is_told(client, space):
    assert await client.whoami() == "boss"


@in_loop
async def test_jobs_are_created_found_and_deleted(client, space):
    job = await _create(client, suspended("etl", labels={"team": "data"}), space)
    await _create(client, suspended("other"), space)

    assert await job.exists()
    found = [each.name async for each in client.get(f"jobs.{GROUP}", namespace=space, label_selector={"team": "data"})]
    assert found == ["etl"]
    await job.delete(propagation_policy="Foreground")
    await job.wait("delete", timeout=20)
    assert not await job.exists()


@in_loop
async def test_kinds_are_found_by_short_name_and_by_what_is_served_alone(client, space):
    await _create(client, suspended("etl"), space)

    assert [each.kind async for each in client.get("jo", namespace=space)] == ["Job"]
    assert [each.name async for each in client.get(f"job.{VERSION}.{GROUP}", "etl", namespace=space)] == ["etl"]


@in_loop
async def test_what_is_missing_or_wrong_is_an_error(client, space):
    with pytest.raises(kr8s.NotFoundError):
        await Job.get("none", namespace=space, api=client, timeout=0)
    with pytest.raises(kr8s.ServerError, match=r"spec\.backoffLimit"):
        await _create(client, suspended("bad", backoffLimit=-1), space)


@in_loop
async def test_jobs_are_patched_labelled_and_annotated(client, space):
    job = await _create(client, suspended("etl"), space)
    await job.patch({"spec": {"backoffLimit": 3}})
    await job.patch([{"op": "replace", "path": "/spec/suspend", "value": True}], type="json")
    await job.label(team="data")
    await job.annotate(note="x y")
    await job.refresh()

    assert (job.spec["backoffLimit"], job.labels["team"], job.annotations["note"]) == (3, "data", "x y")
    await job.remove_label("team")
    assert "team" not in job.labels


@in_loop
async def test_the_status_is_patched_by_itself(client, space):
    job = await _create(client, suspended("etl"), space)
    condition = {"type": "Checked", "status": "True", "reason": "ByHand", "message": "seen"}

    await job.patch({"status": {"conditions": [condition]}, "spec": {"backoffLimit": 9}}, subresource="status")

    assert (job.status["conditions"][0]["type"], job.spec["backoffLimit"]) == ("Checked", 0)


@in_loop
async def test_a_dependent_goes_with_its_owner(client, space):
    owner = await _create(client, suspended("owner"), space)
    dependent = await _create(client, suspended("dependent"), space)
    await owner.adopt(dependent)
    await dependent.refresh()
    assert dependent.metadata["ownerReferences"][0]["name"] == "owner"

    await owner.delete()
    await dependent.wait("delete", timeout=20)


@in_loop
async def test_core_objects_are_kept(client, space):
    settings = await ConfigMap({"metadata": {"name": "settings", "namespace": space}, "data": {"a": "1"}}, api=client)
    await settings.create()
    key = await Secret({"metadata": {"name": "key", "namespace": space}, "stringData": {"k": "v"}}, api=client)
    await key.create()

    assert (await ConfigMap.get("settings", namespace=space, api=client)).data["a"] == "1"
    assert (await Secret.get("key", namespace=space, api=client)).data["k"] == "dg=="
    assert (await Namespace.get(space, api=client)).status["phase"] == "Active"


@in_loop
async def test_a_watch_sees_each_change(client, space):
    job = await _create(client, suspended("etl"), space)
    seen = []

    async for type_, each in client.watch(f"jobs.{GROUP}", namespace=space):
        assert each.name == "etl"
        seen.append(type_)
        if len(seen) == 1:
            await job.delete()
        if type_ == "DELETED":
            break

    assert (seen[0], seen[-1]) == ("ADDED", "DELETED")


@in_loop
async def test_conditions_are_waited_for(client, space):
    job = await _create(client, a_shell_job("quick", "echo done"), space)

    await job.wait(["condition=Complete", "condition=Failed"], timeout=20)

    assert job.status["phase"] == "Succeeded"
    (pod,) = [each async for each in client.get("pods", namespace=space, label_selector="runwright.dev/job-name=quick")]
    assert [line async for line in pod.logs()] == ["done"]


def test_logs_are_read_by_their_end_and_followed(loop, client, served, held):
    async def read():
        await _create(client, a_shell_job("kr-lines", "for n in 1 2 3; do echo $n; sleep 0.1; done"), "default")
        served.printed("kr-lines", "1")
        pod = await Pod.get("kr-lines-1", namespace="default", api=client)
        followed = [line async for line in pod.logs(follow=True)]
        return followed, [line async for line in pod.logs(tail_lines=1)]

    assert loop.run(read()) == (["1", "2", "3"], ["3"])


def test_a_pod_is_ready(loop, held):
    assert loop.run(held.ready())


def test_a_command_is_executed(loop, held):
    done = loop.run(held.exec(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False))

    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_a_command_that_fails_raises(loop, held):
    with pytest.raises(ExceptionGroup) as failed:
        loop.run(held.exec(["sh", "-c", "exit 3"]))
    assert failed.group_contains(kr8s.ExecError, match="exit status 3")


def test_a_port_is_forwarded(loop, held):
    async def talk():
        async with held.portforward(remote_port=PORT, local_port="auto") as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"ping")
            got = await asyncio.wait_for(reader.readexactly(6), 20)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            return got

    assert loop.run(talk()) == b"<ping>"
