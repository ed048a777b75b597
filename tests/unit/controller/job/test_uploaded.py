"""Uploads that jobs refer to: missing ones are named, all have to fit, and any kind of object may refer to one."""

import pytest

from api.types.job_spec import JobSpec
from controller.job import uploaded
from support.contents import open_uploads, upload
from support.hand_clock import HandClock
from support.objects import a_job, open_verbs

NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
def uploads(tmp_path):
    return open_uploads(tmp_path / "contents", HandClock())


def a_spec(*digests, **resources):
    files = [{"path": f"f{number}", "upload": digest} for number, digest in enumerate(digests)]
    return JobSpec.model_validate({"command": ["true"], "files": files, "resources": resources})


def test_an_upload_that_is_not_here_is_named_with_its_field(uploads):
    have = upload(uploads, b"x")

    (cause,) = uploaded.judge("default", a_spec(have, NOWHERE), uploads._contents, 1 << 20)

    assert cause.field == "spec.files[1].upload"
    assert f'"{NOWHERE}" was not uploaded in namespace default: send it first' in cause.message
    assert NOWHERE in uploaded.problem("default", a_spec(have, NOWHERE), uploads._contents)


def test_another_namespaces_upload_is_as_if_it_were_not_there(uploads):
    digest = upload(uploads, b"x", "other")

    theirs, of_nobody = (
        uploaded.judge("default", a_spec(each), uploads._contents, 1 << 20)[0].message for each in (digest, NOWHERE)
    )

    assert theirs.replace(digest, "") == of_nobody.replace(NOWHERE, "")


def test_uploads_have_to_fit_into_work_in_whole_pages(uploads):
    digest = upload(uploads, b"x")

    (cause,) = uploaded.judge("default", a_spec(digest, digest), uploads._contents, 8191)

    assert "the uploads need 8192 bytes, /work has 8191" in cause.message
    assert uploaded.judge("default", a_spec(digest, digest), uploads._contents, 8192) == []
    own = a_spec(digest, digest, limits={"ephemeral-storage": "4Mi"})
    assert uploaded.judge("default", own, uploads._contents, 1) == []


def test_what_refers_to_an_upload_is_found_however_deep_it_is(tmp_path):
    _, store = open_verbs(tmp_path, HandClock())
    document = a_job(files=[{"path": "a", "upload": NOWHERE}])
    document["spec"]["jobTemplate"] = {"spec": {"files": [{"path": "a", "upload": NOWHERE.replace("0", "1")}]}}
    for each in (document, a_job("plain")):
        each["metadata"]["namespace"] = "default"
        store.create(each)

    assert uploaded.referred(store) == {("default", NOWHERE), ("default", NOWHERE.replace("0", "1"))}
    store.close()
