"""The verbs over real HTTP on a unix socket: codes, bodies, headers."""

import json

import pytest

from support.objects import a_job, a_runtime

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
RUNTIMES = "/apis/runwright.dev/v1alpha1/runtimes"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def patch(api, path, change, type_=MERGE, **query):
    return api.client.patch(path, content=json.dumps(change), headers={"content-type": type_}, params=query)


def status_of(response):
    body = response.json()
    assert (body["kind"], body["apiVersion"], body["status"]) == ("Status", "v1", "Failure")
    assert body["code"] == response.status_code
    assert response.headers["content-type"] == "application/json"
    return body


@pytest.fixture
def etl(api):
    response = api.client.post(api.jobs(), json=a_job())
    assert response.status_code == 201
    return response.json()


class TestWrites:
    def test_a_job_lives_from_post_to_delete(self, api, etl):
        path = api.jobs("etl")
        assert api.client.get(path).json() == etl

        replaced = api.client.put(path, json=etl | {"spec": {"command": ["false"]}})
        assert (replaced.status_code, replaced.json()["metadata"]["generation"]) == (200, 2)

        patched = patch(api, path, {"spec": {"suspend": True}})
        assert (patched.status_code, patched.json()["spec"]["suspend"]) == (200, True)

        waiting = api.client.delete(path)
        assert waiting.status_code == 200
        assert "deletionTimestamp" in waiting.json()["metadata"]
        assert patch(api, path, [{"op": "remove", "path": "/metadata/finalizers"}], JSON_PATCH).status_code == 200
        assert api.client.get(path).status_code == 404

    def test_what_is_gone_at_once_is_answered_with_success(self, api):
        created = api.client.post(f"/api/v1/namespaces/{api.space}/events", json={"metadata": {"name": "e"}}).json()

        deleted = api.client.delete(f"/api/v1/namespaces/{api.space}/events/e").json()

        assert (deleted["kind"], deleted["status"]) == ("Status", "Success")
        assert deleted["details"] == {"name": "e", "kind": "events", "uid": created["metadata"]["uid"]}

    def test_an_apply_creates_and_then_changes(self, api):
        created = api.apply(api.jobs("etl"), a_job())
        again = api.apply(api.jobs("etl"), a_job())
        changed = api.apply(api.jobs("etl"), a_job(command=["false"]))

        assert [each.status_code for each in (created, again, changed)] == [201, 200, 200]
        assert created.json() == again.json()
        assert changed.json()["metadata"]["managedFields"][0]["manager"] == "tests"

    def test_an_apply_may_be_yaml(self, api):
        body = "apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {name: etl}\nspec:\n  command: [echo, 'on']\n"
        headers = {"content-type": "application/apply-patch+yaml"}

        response = api.client.patch(api.jobs("etl"), content=body, headers=headers, params={"fieldManager": "m"})

        assert (response.status_code, response.json()["spec"]) == (201, {"command": ["echo", "on"]})

    def test_a_conflict_between_managers_names_the_field_and_force_takes_it(self, api):
        api.apply(api.jobs("etl"), a_job(), "one")

        refused = api.apply(api.jobs("etl"), a_job(command=["false"]), "two")
        forced = api.apply(api.jobs("etl"), a_job(command=["false"]), "two", force="true")

        assert status_of(refused)["details"]["causes"][0]["field"] == ".spec.command"
        assert (refused.status_code, forced.status_code) == (409, 200)

    def test_a_post_may_be_yaml_or_say_no_type(self, api):
        yaml = api.client.post(
            api.jobs(),
            content="metadata: {name: a}\nspec: {command: [x]}",
            headers={"content-type": "application/yaml"},
        )
        untyped = api.client.post(api.jobs(), content=json.dumps(a_job("b")))

        assert (yaml.status_code, untyped.status_code) == (201, 201)

    def test_the_field_manager_is_named_or_is_the_program(self, api):
        named = api.client.post(api.jobs(), json=a_job("a"), params={"fieldManager": "kubectl-create"}).json()
        program = api.client.post(api.jobs(), json=a_job("b"), headers={"user-agent": "kubectl/v1.32.0 (linux)"}).json()

        assert [each["metadata"]["managedFields"][0]["manager"] for each in (named, program)] == [
            "kubectl-create",
            "kubectl",
        ]

    def test_the_status_has_its_own_path(self, api, etl):
        path = api.jobs("etl", "status")

        written = patch(api, path, {"status": {"phase": "Running"}, "spec": {"command": ["x"]}}).json()

        assert (written["status"], written["spec"]) == ({"phase": "Running"}, {"command": ["true"]})
        assert api.client.get(path).json()["status"] == {"phase": "Running"}
        assert (
            api.client.put(path, json=written | {"status": {"phase": "Failed"}}).json()["status"]["phase"] == "Failed"
        )

    def test_warnings_are_headers_one_a_field(self, api):
        response = api.client.post(
            api.jobs(), content=b'{"metadata":{"name":"a"},"spec":{"command":["x"],"b\xc3\xb6g":1,"odd":2,"odd":3}}'
        )

        assert response.status_code == 201
        assert sorted(response.headers.get_list("warning", split_commas=True)) == [
            '299 - "duplicate field \\"spec.odd\\""',
            '299 - "unknown field \\"spec.b?g\\""',
            '299 - "unknown field \\"spec.odd\\""',
        ]

    @pytest.mark.parametrize(
        "body",
        [
            b'{"metadata":{"name":"a"},"spec":{"command":["x"],"bogus":1}}',
            b'{"metadata":{"name":"a"},"spec":{"command":["x"],"suspend":true,"suspend":false}}',
        ],
    )
    def test_strict_refuses_unknown_and_repeated_fields(self, api, body):
        response = api.client.post(api.jobs(), content=body, params={"fieldValidation": "Strict"})

        assert response.status_code == 400
        assert "strict decoding error" in status_of(response)["message"]

    def test_ignore_says_nothing_of_them(self, api):
        body = b'{"metadata":{"name":"a"},"spec":{"command":["x"],"bogus":1,"bogus":1}}'
        response = api.client.post(api.jobs(), content=body, params={"fieldValidation": "Ignore"})

        assert response.status_code == 201
        assert "warning" not in response.headers

    def test_a_dry_run_stores_nothing(self, api):
        assert api.client.post(api.jobs(), json=a_job(), params={"dryRun": "All"}).status_code == 201
        assert api.client.get(api.jobs("etl")).status_code == 404

    def test_a_deletion_keeps_its_preconditions_from_the_body(self, api, etl):
        refused = api.client.request("DELETE", api.jobs("etl"), json={"preconditions": {"uid": "another"}})
        tried = api.client.request("DELETE", api.jobs("etl"), json={"dryRun": ["All"]})

        assert (refused.status_code, tried.status_code) == (409, 200)
        assert "deletionTimestamp" not in api.client.get(api.jobs("etl")).json()["metadata"]

    def test_a_collection_is_deleted_by_its_selector(self, api, etl):
        api.client.post(api.jobs(), json=a_job("two", metadata={"labels": {"a": "b"}}))

        response = api.client.delete(api.jobs(), params={"labelSelector": "a=b"})

        assert [item["metadata"]["name"] for item in response.json()["items"]] == ["two"]
        assert response.json()["kind"] == "JobList"

    def test_cluster_scoped_objects_have_paths_without_a_namespace(self, api):
        name = f"r-{api.space}"
        assert api.client.post(RUNTIMES, json=a_runtime(name)).status_code == 201
        assert api.client.get(f"{RUNTIMES}/{name}").json()["metadata"]["name"] == name


class TestReads:
    def test_lists_are_of_one_namespace_or_of_all(self, api, etl):
        here = api.client.get(api.jobs()).json()
        everywhere = api.client.get(
            "/apis/runwright.dev/v1alpha1/jobs", params={"fieldSelector": f"metadata.namespace={api.space}"}
        ).json()

        assert (here["kind"], here["items"]) == ("JobList", [etl])
        assert everywhere["items"] == [etl]
        assert api.client.get(api.jobs(namespace="nowhere")).json()["items"] == []

    def test_lists_come_in_pages(self, api):
        for number in range(5):
            api.client.post(api.jobs(), json=a_job(f"j{number}"))

        first = api.client.get(api.jobs(), params={"limit": 3}).json()
        rest = api.client.get(api.jobs(), params={"limit": 3, "continue": first["metadata"]["continue"]}).json()

        assert first["metadata"]["remainingItemCount"] == 2
        assert [item["metadata"]["name"] for item in first["items"] + rest["items"]] == [f"j{n}" for n in range(5)]
        assert rest["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}

    def test_a_limit_below_none_is_none_as_for_kubernetes(self, api):
        for number in range(3):
            api.client.post(api.jobs(), json=a_job(f"j{number}"))

        page = api.client.get(api.jobs(), params={"limit": "-1"}).json()

        assert len(page["items"]) == 3
        assert "continue" not in page["metadata"]

    def test_a_list_can_be_exactly_of_a_revision(self, api, etl):
        version = etl["metadata"]["resourceVersion"]
        api.client.post(api.jobs(), json=a_job("later"))

        def names(**query):
            items = api.client.get(api.jobs(), params={"resourceVersion": version, **query}).json()["items"]
            return [item["metadata"]["name"] for item in items]

        assert names(resourceVersionMatch="Exact") == ["etl"]
        assert names(resourceVersionMatch="NotOlderThan") == ["etl", "later"]

    def test_tables_and_metadata_are_made_when_asked_for(self, api, etl):
        table = api.client.get(api.jobs(), headers=TABLE).json()
        one = api.client.get(api.jobs("etl"), headers=TABLE, params={"includeObject": "Object"}).json()
        metadata = api.client.get(
            api.jobs("etl"), headers={"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
        ).json()

        assert [row["cells"][0] for row in table["rows"]] == ["etl"]
        assert one["rows"][0]["object"] == etl
        assert metadata == {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": etl["metadata"],
        }

    def test_an_object_is_explained(self, api, etl):
        assert api.client.get(api.jobs("etl", "explain")).json()["object"] == f"job/{api.space}/etl"
        assert api.client.get(api.jobs("none", "explain")).status_code == 404

    def test_manifests_are_listed_as_a_table(self, api):
        api.above.manifests = [{"source": "dir", "file": "a.yaml", "line": 3, "state": "Invalid", "message": "bad"}]

        table = api.client.get("/apis/runwright.dev/v1alpha1/manifests", headers=TABLE).json()

        assert table["rows"][0]["cells"][:4] == ["dir:a.yaml:3", "dir", "a.yaml", "3"]
        assert api.client.get("/apis/runwright.dev/v1alpha1/manifests/dir:a.yaml:3").json()["message"] == "bad"


class TestRefusals:
    def test_400_for_what_cannot_be_read(self, api):
        for body in (b"{", b"[1]", b'{"a":NaN}', b"\xff\xfe", b"[" * 100_000, b"null", b'"x"'):
            response = api.client.post(api.jobs(), content=body, headers={"content-type": "application/json"})
            assert (response.status_code, status_of(response)["reason"]) == (400, "BadRequest"), body

    def test_400_for_another_name_namespace_or_kind(self, api, etl):
        version = {"resourceVersion": etl["metadata"]["resourceVersion"]}
        assert api.client.put(api.jobs("etl"), json=a_job("other", metadata=version)).status_code == 400
        assert api.client.post(api.jobs(), json=a_job("x", metadata={"namespace": "other"})).status_code == 400
        assert api.client.post(api.jobs(), json=a_runtime()).status_code == 400

    @pytest.mark.parametrize(
        "query",
        [
            {"labelSelector": "a=b=c"},
            {"fieldSelector": "spec.x=1"},
            {"limit": "--1"},
            {"limit": "x"},
            {"continue": "?"},
            {"resourceVersion": "x"},
            {"watch": "maybe"},
            {"resourceVersionMatch": "Exact"},
            {"includeObject": "All"},
            {"watch": "1", "resourceVersion": "x"},
            {"watch": "1", "timeoutSeconds": "x"},
        ],
    )
    def test_400_for_parameters_that_mean_nothing(self, api, query):
        assert status_of(api.client.get(api.jobs(), params=query))["reason"] == "BadRequest"

    def test_403_for_a_namespace_that_is_ending(self, api, etl):
        api.client.delete(f"/api/v1/namespaces/{api.space}")

        body = status_of(api.client.post(api.jobs(), json=a_job("late")))

        assert (body["code"], body["reason"]) == (403, "Forbidden")
        assert body["details"]["causes"][0]["reason"] == "NamespaceTerminating"

    def test_404_for_a_missing_object_and_a_missing_namespace(self, api):
        missing = status_of(api.client.get(api.jobs("none")))
        assert (missing["message"], missing["details"]) == (
            'jobs.runwright.dev "none" not found',
            {"name": "none", "group": "runwright.dev", "kind": "jobs"},
        )
        nowhere = status_of(api.client.post(api.jobs(namespace="nowhere"), json=a_job()))
        assert (nowhere["message"], nowhere["details"]["kind"]) == ('namespaces "nowhere" not found', "namespaces")

    @pytest.mark.parametrize(
        "path",
        [
            "/nope", "/apis/other/v1/jobs", "/apis/runwright.dev/v1/jobs", "/apis/runwright.dev/v1alpha1/widgets",
            "/apis/runwright.dev/v1alpha1/jobs/etl", "/apis/runwright.dev/v1alpha1/namespaces/default/runtimes",
            "/apis/runwright.dev/v1alpha1/namespaces/default/jobs/etl/scale", "/apis/runwright.dev/v1alpha1//jobs",
            "/api/v1/namespaces/default/events/e/status",
        ],
    )  # fmt: skip
    def test_404_in_plain_text_for_what_is_not_served(self, api, path):
        response = api.client.get(path)

        assert (response.status_code, response.text) == (404, "404 page not found\n")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/apis/runwright.dev/v1alpha1/jobs"),
            ("DELETE", "/apis/runwright.dev/v1alpha1/jobs"),
            ("DELETE", "/api/v1/namespaces"),
            ("PUT", "/apis/runwright.dev/v1alpha1/namespaces/default/jobs"),
            ("POST", "/apis/runwright.dev/v1alpha1/namespaces/default/jobs/etl"),
            ("DELETE", "/apis/runwright.dev/v1alpha1/namespaces/default/jobs/etl/status"),
            ("POST", "/apis/runwright.dev/v1alpha1/namespaces/default/jobs/etl/explain"),
            ("POST", "/api/v1/namespaces/default/pods"),
            ("PUT", "/api/v1/namespaces/default/pods/etl-1"),
            ("POST", "/apis/runwright.dev/v1alpha1/manifests"),
            ("OPTIONS", "/apis/runwright.dev/v1alpha1/runtimes"),
        ],
    )
    def test_405_for_what_a_resource_does_not_do(self, api, method, path):
        response = api.client.request(method, path, content=b"{}")

        assert (response.status_code, status_of(response)["reason"]) == (405, "MethodNotAllowed")

    def test_405_for_watching_what_cannot_be_watched(self, api):
        assert api.client.get("/apis/runwright.dev/v1alpha1/manifests", params={"watch": "1"}).status_code == 405

    def test_406_for_representations_that_are_not_made(self, api):
        body = status_of(api.client.get(api.jobs(), headers={"Accept": "text/html"}))

        assert (body["code"], body["reason"]) == (406, "NotAcceptable")

    def test_409_for_what_exists_and_for_what_is_stale(self, api, etl):
        exists = status_of(api.client.post(api.jobs(), json=a_job()))
        assert (exists["code"], exists["reason"]) == (409, "AlreadyExists")

        patch(api, api.jobs("etl"), {"spec": {"suspend": True}})
        stale = status_of(api.client.put(api.jobs("etl"), json=etl))
        assert (stale["code"], stale["reason"]) == (409, "Conflict")
        assert stale["message"].startswith(
            'Operation cannot be fulfilled on jobs.runwright.dev "etl": the object has been modified'
        )

    def test_410_for_a_list_of_a_moment_that_is_not_there(self, api):
        query = {"resourceVersion": "999999999", "resourceVersionMatch": "Exact"}

        assert status_of(api.client.get(api.jobs(), params=query))["reason"] == "Expired"

    def test_413_for_a_body_that_is_too_large(self, api):
        def chunks():
            for _ in range(50):
                yield b" " * 65536

        announced = status_of(api.client.post(api.jobs(), content=b" " * (3 << 20) + b" "))
        assert (announced["code"], announced["reason"]) == (413, "RequestEntityTooLarge")
        assert api.client.post(api.jobs(), content=chunks()).status_code == 413
        stored = status_of(api.client.post(api.jobs(), json=a_job(args=["x" * (3 << 19)])))
        assert stored["message"].startswith('cannot store Job "etl": it has ')

    def test_415_for_bodies_of_another_type(self, api, etl):
        posted = api.client.post(api.jobs(), content=b"x", headers={"content-type": "text/plain"})
        assert status_of(posted)["reason"] == "UnsupportedMediaType"

        strategic = patch(api, api.jobs("etl"), {}, "application/strategic-merge-patch+json")
        assert strategic.status_code == 415
        assert MERGE in status_of(strategic)["message"]

    def test_422_for_an_invalid_object_with_all_causes(self, api):
        body = status_of(api.client.post(api.jobs(), json=a_job(command=[], env=[{"value": "x"}])))

        assert (body["code"], body["reason"], body["details"]["kind"]) == (422, "Invalid", "Job")
        assert body["message"] == (
            'Job.runwright.dev "etl" is invalid: [spec.command: Required value, spec.env[0].name: Required value]'
        )
        assert [cause["field"] for cause in body["details"]["causes"]] == ["spec.command", "spec.env[0].name"]

    @pytest.mark.parametrize(
        ("method", "query"),
        [
            ("POST", {"dryRun": "Some"}),
            ("POST", {"fieldManager": "x" * 129}),
            ("POST", {"fieldManager": "a\nb"}),
            ("POST", {"fieldValidation": "x"}),
            ("DELETE", {"propagationPolicy": "Sideways"}),
        ],
    )
    def test_422_for_options_without_such_a_value(self, api, etl, method, query):
        path = api.jobs() if method == "POST" else api.jobs("etl")
        response = api.client.request(method, path, json=a_job("other") if method == "POST" else None, params=query)

        assert status_of(response)["code"] == 422

    @pytest.mark.parametrize(
        ("type_", "change", "field"),
        [
            ("application/merge-patch+json", '{"metadata":null}', "metadata"),
            ("application/merge-patch+json", '{"metadata":{"name":null}}', "metadata.name"),
            ("application/merge-patch+json", '{"metadata":[]}', "metadata"),
            ("application/json-patch+json", '[{"op":"remove","path":"/metadata"}]', "metadata"),
            ("application/json-patch+json", '[{"op":"replace","path":"/metadata","value":{}}]', "metadata.name"),
        ],
    )
    def test_422_for_a_patch_that_takes_the_metadata_away_with_all_labels(self, api, etl, type_, change, field):
        body = status_of(api.client.patch(api.jobs("etl"), content=change, headers={"content-type": type_}))

        assert (body["code"], body["reason"]) == (422, "Invalid")
        assert [(c["field"], c["reason"]) for c in body["details"]["causes"]] == [(field, "FieldValueRequired")]
        assert api.client.get(api.jobs("etl")).json() == etl

    def test_422_for_a_strategic_patch_that_takes_the_metadata_away(self, api):
        place = f"/api/v1/namespaces/{api.space}"
        headers = {"content-type": "application/strategic-merge-patch+json"}

        body = status_of(api.client.patch(place, content='{"metadata":null}', headers=headers))

        assert (body["code"], body["details"]["causes"][0]["field"]) == (422, "metadata")

    def test_422_for_an_apply_by_nobody_and_a_failed_test(self, api, etl):
        nobody = api.client.patch(
            api.jobs("etl"), json=a_job(), headers={"content-type": "application/apply-patch+yaml"}
        )
        assert "fieldManager" in status_of(nobody)["message"]
        failed = patch(api, api.jobs("etl"), [{"op": "test", "path": "/spec/command", "value": []}], JSON_PATCH)
        assert (failed.status_code, status_of(failed)["reason"]) == (422, "Invalid")

    def test_500_for_a_bug_without_its_details(self, api, caplog, monkeypatch):
        def explain(_key):
            raise RuntimeError("the secret of the house")

        monkeypatch.setattr(api.above, "explain", explain)
        api.client.post(api.jobs(), json=a_job())

        response = api.client.get(api.jobs("etl", "explain"))

        assert (response.status_code, status_of(response)["reason"]) == (500, "InternalError")
        assert "secret" not in response.text
        assert [record.message for record in caplog.records if record.exc_info] == ["request failed"]

    def test_504_for_a_revision_that_is_not_reached(self, api):
        body = status_of(api.client.get(api.jobs(), params={"resourceVersion": "999999999"}))

        assert (body["code"], body["reason"]) == (504, "Timeout")

    def test_half_a_character_is_refused_and_echoed_safely(self, api):
        response = api.client.post(api.jobs(), content=b'{"metadata":{"name":"\\ud800"},"spec":{"command":["x"]}}')

        assert status_of(response)["code"] == 400

    @pytest.mark.parametrize(
        "body",
        [
            b"[]", b'"x"', b"{", b'{"preconditions":3}', b'{"dryRun":"All"}', b'{"preconditions":{"uid":["x"]}}',
            b'{"preconditions":{"resourceVersion":["1"]}}', b'{"preconditions":{"resourceVersion":7}}',
            b'{"gracePeriodSeconds":"--5"}', b'{"gracePeriodSeconds":["5"]}', b'{"gracePeriodSeconds":5.5}',
            b'{"preconditions":{"resourceVersion":"' + b"9" * 5000 + b'"}}',
        ],
    )  # fmt: skip
    def test_delete_options_that_are_none_are_refused(self, api, etl, body):
        assert api.client.request("DELETE", api.jobs("etl"), content=body).status_code == 400

    def test_odd_names_in_the_url_are_just_not_found(self, api):
        for name in ("%00", "..%2f..", "%ff", "a%20b", "%F0%9F%90%8D"):
            assert api.client.get(api.jobs() + "/" + name).status_code == 404, name


def test_every_request_is_measured_by_verb_resource_and_code(api, etl):
    api.above.requests.clear()
    path = api.jobs("etl")
    api.client.get(path)
    api.client.get(api.jobs())
    patch(api, path, {})
    api.apply(path, a_job())
    api.client.get(api.jobs("none"))
    api.client.delete(path)
    api.client.get("/nope")

    assert api.above.requests == [
        ("GET", "jobs", 200), ("LIST", "jobs", 200), ("PATCH", "jobs", 200), ("APPLY", "jobs", 200),
        ("GET", "jobs", 404), ("DELETE", "jobs", 200), ("GET", "other", 404),
    ]  # fmt: skip
