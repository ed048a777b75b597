"""Files that go into a job: found, checked, and carried with their permission bits."""

import base64
import os

import pytest

from api.cli import uploads
from api.cli.uploads import BadUpload
from api.types.job_spec import FILES_MOST_BYTES


def test_a_file_lands_under_its_own_name_with_its_permission_bits(tmp_path):
    script = tmp_path / "deep" / "run.sh"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\r\necho é\n", newline="")
    script.chmod(0o755)

    assert uploads.files_of([str(script)], []) == [{"path": "run.sh", "text": "#!/bin/sh\r\necho é\n", "mode": 0o755}]


@pytest.mark.parametrize("content", [b"\x00\x01", b"\xff\xfe", b"text\0"])
def test_what_is_not_text_travels_as_base64(tmp_path, content):
    (tmp_path / "data.bin").write_bytes(content)

    (file,) = uploads.files_of([str(tmp_path / "data.bin")], [])

    assert base64.b64decode(file["base64"]) == content


def test_a_directory_gives_what_it_holds_and_its_name_leads_there_too_without_git(tmp_path):
    for name in ("pkg/a.py", "pkg/sub/b.py", "pkg/.git/config", "pkg/.hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    files = uploads.files_of([], [str(tmp_path / "pkg")])

    assert [file["path"] for file in files] == [".hidden", "a.py", "sub/b.py", "pkg"]
    assert files[-1] == {"path": "pkg", "link": "."}


@pytest.mark.parametrize("held", ["pkg/a.py", "pkg"])
def test_what_a_directory_holds_under_its_own_name_is_what_that_name_means(tmp_path, held):
    path = tmp_path / "pkg" / held
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")

    assert [file["path"] for file in uploads.files_of([], [str(tmp_path / "pkg")])] == [held]


@pytest.mark.parametrize(("given", "names"), [(".", []), ("..", []), ("./sub/", ["sub"]), ("sub/../sub", ["sub"])])
def test_a_directory_is_called_as_it_was_given(tmp_path, monkeypatch, given, names):
    (tmp_path / "here" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")

    assert [file["path"] for file in uploads.files_of([], [given])] == names


def test_a_link_inside_the_directory_is_followed(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").symlink_to("a")

    assert [file.get("text") for file in uploads.files_of([], [str(tmp_path)])] == ["one", "one", None]


def test_a_link_that_leaves_the_directory_is_refused(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "a").symlink_to("../secret")

    with pytest.raises(BadUpload, match=r"outside of .*/top: copy the file"):
        uploads.files_of([], [str(tmp_path / "top")])


def test_a_link_to_a_directory_is_refused_rather_than_left_out(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    with pytest.raises(BadUpload, match="it is a link to a directory"):
        uploads.files_of([], [str(tmp_path)])


def test_two_files_of_one_name_are_refused(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)

    with pytest.raises(BadUpload, match=r"one/a.txt is already /work/a.txt: rename one of them"):
        uploads.files_of([str(tmp_path / "one/a.txt"), str(tmp_path / "two/a.txt")], [])


def test_more_than_the_limit_together_is_refused_with_the_limit_and_the_largest(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * FILES_MOST_BYTES)
    (tmp_path / "small").write_bytes(b"x")

    with pytest.raises(BadUpload, match=r"the limit is 1000000 bytes together, and .*/big has 1000000"):
        uploads.files_of([str(tmp_path / "big"), str(tmp_path / "small")], [])


@pytest.mark.parametrize(
    ("name", "why"), [("missing", "No such file"), ("directory", "use --upload-dir"), ("pipe", "not a regular file")]
)
def test_what_is_no_file_is_refused(tmp_path, name, why):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(BadUpload, match=why):
        uploads.files_of([str(tmp_path / name)], [])


@pytest.mark.parametrize(("name", "why"), [("missing", "no such directory"), ("file", "use --upload for a file")])
def test_what_is_no_directory_is_refused(tmp_path, name, why):
    (tmp_path / "file").write_text("x")

    with pytest.raises(BadUpload, match=why):
        uploads.files_of([], [str(tmp_path / name)])
