"""What OpenAPI says of the API is so: whatever is asked as it says, the answer is one of those that it names.

No answer is a 500, none is waited for in vain, and its code, its type and its form are the documented ones. Requests are
made by schemathesis from the documents as they are served; seeds are fixed, and the slow variants go through many more.
"""

import contextlib
import random
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode, Response
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.failures import Failure, FailureGroup

from api.errors import AlreadyExists, NotFound
from api.http import reviews
from api.http.metrics_group import PODS
from api.http.served import group_path
from api.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    JOB,
    KINDS,
    NAMESPACE,
    PROJECTED,
    REGISTRY,
    ROLE,
    ROLE_BINDING,
    RUNTIME,
    RUNTIME_TEMPLATE,
    SECRET,
    Kind,
)
from support.access import a_binding, a_role
from support.api_server import LiveApi, a_live_api, run_status
from support.objects import a_job, a_runtime
from support.secret_objects import a_config_map, a_secret

SECONDS = 10
WHOLE = [not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance]
CHECKS = [*WHOLE, response_schema_conformance]
DOCUMENTS = sorted(
    {group_path(kind.group, kind.version) for kind in (*KINDS, *PROJECTED)}
    | {group_path(each.group, each.version) for each in (*reviews.REVIEWS, PODS)}
    | {"apis/events.k8s.io/v1"}
)
THERE = (
    (NAMESPACE, {"metadata": {"name": "team"}}),
    (JOB, a_job("etl")),
    (RUNTIME, a_runtime("python-3.11")),
    (
        RUNTIME_TEMPLATE,
        {"metadata": {"name": "tool"}, "spec": {"build": {"from": "debian", "packages": {"apt": ["jq"]}}}},
    ),
    (REGISTRY, {"metadata": {"name": "main"}, "spec": {"url": "file:///srv/runtimes"}}),
    (SECRET, a_secret("db")),
    (CONFIG_MAP, a_config_map("settings")),
    (CLUSTER_ROLE, a_role("reading")),
    (ROLE, a_role("writing", namespace="default")),
    (CLUSTER_ROLE_BINDING, a_binding("readers", "reading", "User:ann")),
    (ROLE_BINDING, a_binding("writers", "reading", "User:ben", namespace="default")),
)
KNOWN = {kind.plural: document["metadata"]["name"] for kind, document in THERE} | {"pods": "etl-1", "nodes": "testhost"}
STREAMS = ("watch", "follow")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with a_live_api(tmp_path_factory.mktemp("live")) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: LiveApi) -> Iterator[httpx.Client]:
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(live.socket)), base_url="http://x", timeout=SECONDS
    ) as client:
        yield client


def furnish(live: LiveApi) -> None:
    """Have there be what requests are about, whatever others did to it."""
    for kind, document in THERE:
        with contextlib.suppress(AlreadyExists):
            live.create(kind, document, held=kind is JOB)
    live.set_status(JOB, "etl", runs=[run_status("Running")])
    live.write_log("etl", 1, "stdout hello")
    live.host.catalogues["main"] = {"fetchedAt": "2026-01-01T00:00:00Z", "problem": "", "runtimes": {}}
    live.host.explanations["job/default/etl"] = {"object": "job/default/etl", "summary": "It runs."}


class Aim:
    """Makes requests that were made up be about what is there, mostly: else nearly all of them would find nothing."""

    def __init__(self, number: int, live: LiveApi, kinds: dict[str, Kind]) -> None:
        self._random = random.Random(number)
        self._live = live
        self._kinds = kinds

    def at(self, case: Any) -> None:
        plural = re.sub(r".*/v\w+/(namespaces/{namespace}/)?", "", case.operation.path).split("/")[0]
        named = case.path_parameters
        if "namespace" in named and self._mostly():
            named["namespace"] = self._random.choice(("default", "default", "team"))
        if "name" in named and self._mostly():
            named["name"] = self._random.choice((KNOWN.get(plural, "default"), "new"))
        if any(str(case.query.get(name)).lower() == "true" for name in STREAMS) and self._mostly():
            case.query["timeoutSeconds"] = 1
        if isinstance(case.body, dict) and plural in self._kinds and self._mostly():
            case.body = self._dressed(case.body, self._kinds[plural], named.get("namespace", ""), named.get("name"))

    def _dressed(self, body: dict[str, Any], kind: Kind, namespace: str, name: str | None) -> dict[str, Any]:
        """Have a body be an object of its kind: as it is now with some of the body in it, or the body with its name."""
        metadata = {"name": name or "new"}
        if self._random.random() < 0.5:
            with contextlib.suppress(NotFound):
                there = self._live.verbs.get(kind, namespace, metadata["name"])
                return there | {field: value for field, value in body.items() if self._random.random() < 0.3}
        return body | {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}

    def _mostly(self) -> bool:
        return self._random.random() < 0.8


def answer_to(client: httpx.Client, case: Any) -> tuple[Response, bool]:
    """Return the answer, and whether all of it: of a stream, its beginning."""
    sent = case.as_transport_kwargs(base_url="http://x")
    request = client.build_request(
        sent["method"], sent["url"], params=sent.get("params"), headers=sent.get("headers"), json=sent.get("json"),
        content=sent.get("data"),
    )  # fmt: skip
    found = client.send(request, stream=True)
    try:
        is_whole = "content-length" in found.headers
        if is_whole:
            found.read()
        else:
            found._content = b""
        found.elapsed = timedelta()
        return Response.from_any(found), is_whole
    finally:
        found.close()


class Asking:
    """Asks of one document what it says can be asked, and notes where the answer is not as it says."""

    def __init__(self, live: LiveApi, client: httpx.Client, document: str) -> None:
        self._live = live
        self._client = client
        self._schema = schemathesis.openapi.from_dict(client.get(f"/openapi/v3/{document}").json())
        served = (*KINDS, *PROJECTED)
        self._kinds = {kind.plural: kind for kind in served if group_path(kind.group, kind.version) == document}
        self.answers = 0
        self.wrong: dict[str, str] = {}

    def ask_everything(self, number: int, examples: int, mode: GenerationMode) -> None:
        """Ask so many times of each operation."""
        for result in self._schema.get_all_operations():
            furnish(self._live)
            self._ask(result.ok().as_strategy(mode), Aim(number, self._live, self._kinds), number, examples)

    def _ask(self, cases: Any, aim: Aim, number: int, examples: int) -> None:
        @seed(number)
        @settings(
            max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=cases)
        def ask(case: Any) -> None:
            aim.at(case)
            self._judge(case)

        ask()

    def _judge(self, case: Any) -> None:
        answer, is_whole = answer_to(self._client, case)
        self.answers += 1
        try:
            case.validate_response(answer, checks=CHECKS if is_whole else WHOLE)
        except (FailureGroup, Failure) as error:
            for each in getattr(error, "exceptions", [error]):
                said = f"{case.operation.label}: {each.title}: {answer.status_code}"
                self.wrong.setdefault(said, f"{each.message}\n{case.as_curl_command()}\n{answer.text[:500]}")


def keep(live: LiveApi, client: httpx.Client, document: str, number: int, examples: int, mode: GenerationMode) -> int:
    """Ask so many times of each operation of a document; return how many answers there were, all as it says."""
    asking = Asking(live, client, document)
    asking.ask_everything(number, examples, mode)
    assert not asking.wrong, "\n\n".join(f"{said}\n{why}" for said, why in asking.wrong.items())
    return asking.answers


@pytest.mark.invariant("P4")
def test_there_is_a_document_for_everything_that_is_served(client):
    assert sorted(client.get("/openapi/v3").json()["paths"]) == DOCUMENTS


@pytest.mark.invariant("P4")
@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_says_of_answers_is_so(live, client, document):
    assert keep(live, client, document, 1, 4, GenerationMode.POSITIVE) >= 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.invariant("P4")
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_says_of_answers_is_so_for_very_many(live, client, document, mode):
    assert keep(live, client, document, 100, 60, mode) >= 60
