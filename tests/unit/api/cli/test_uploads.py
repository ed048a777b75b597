"""Files that go into a job: found, checked, and carried with their permission bits."""

import base64
import os

import pytest

from api.cli import uploads
from api.cli.uploads import INLINE_BYTES, INLINE_FILE_BYTES, BadUpload, Local
from api.types.job_spec import JobSpec


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
    for name in ("pkg/a.py", "pkg/sub/b.py", "pkg/.git/config", "pkg/part/.git", "pkg/.hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    files = uploads.files_of([], [str(tmp_path / "pkg")])

    assert [file["path"] for file in files] == [".hidden", "a.py", "part", "sub/b.py", "pkg"]
    assert files[-1] == {"path": "pkg", "link": "."}
    assert uploads.unlinked([str(tmp_path / "pkg")], files) == []


@pytest.mark.parametrize("held", ["pkg/a.py", "pkg"])
def test_what_a_directory_holds_under_its_own_name_is_what_that_name_means(tmp_path, held):
    path = tmp_path / "pkg" / held
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")

    files = uploads.files_of([], [str(tmp_path / "pkg")])
    assert [file["path"] for file in files] == [held]
    (told,) = uploads.unlinked([str(tmp_path / "pkg")], files)
    assert told.startswith("/work/pkg is what was uploaded under that name, and does not lead to what --upload-dir pkg")


@pytest.mark.parametrize(
    ("given", "names"), [(".", ["sub"]), ("..", ["here/sub"]), ("./sub/", ["sub"]), ("sub/../sub", ["sub"])]
)
def test_a_directory_is_called_as_it_was_given(tmp_path, monkeypatch, given, names):
    (tmp_path / "here" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")

    assert [file["path"] for file in uploads.files_of([], [given])] == names


@pytest.mark.parametrize(
    ("at", "says", "written"),
    [
        ("b", "a", "a"), ("sub/b", "../a", "../a"), ("b", "sub", "sub"), ("b", "nowhere", "nowhere"),
        ("sub/b", "../../top/a", "../a"), ("sub/b", "{top}/a", "../a"), ("sub/b", "{top}", ".."),
    ],
)  # fmt: skip
def test_a_link_inside_the_directory_is_kept_as_a_link(tmp_path, at, says, written):
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "a").write_text("one")
    (top / at).symlink_to(says.format(top=top))

    found = {file["path"]: file for file in uploads.files_of([], [str(top)])}

    assert found[at] == {"path": at, "link": written}
    assert JobSpec.model_validate({"command": ["true"], "files": list(found.values())}).files


def test_a_file_that_is_named_by_a_link_is_the_file(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").symlink_to("a")

    assert uploads.files_of([str(tmp_path / "b")], []) == [{"path": "b", "text": "one", "mode": 0o644}]


def test_empty_directories_and_modes_of_directories_are_kept(tmp_path):
    top = tmp_path / "top"
    for name, mode in (("empty", 0o755), ("closed", 0o700), ("usual", 0o755)):
        (top / name).mkdir(parents=True)
        (top / name).chmod(mode)
    for name in ("closed", "usual"):
        (top / name / "a").write_text("x")

    found = {file["path"]: file for file in uploads.files_of([], [str(top)])}

    assert found["empty"] == {"path": "empty", "directory": True, "mode": 0o755}
    assert found["closed"] == {"path": "closed", "directory": True, "mode": 0o700}
    assert "usual" not in found
    assert JobSpec.model_validate({"command": ["true"], "files": list(found.values())}).files


def test_a_link_that_leaves_the_directory_is_refused(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "a").symlink_to("../secret")

    with pytest.raises(BadUpload, match=r"outside of .*/top: copy the file"):
        uploads.files_of([], [str(tmp_path / "top")])


def test_two_files_of_one_name_are_refused(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)

    with pytest.raises(BadUpload, match=r"one/a.txt is already /work/a.txt: rename one of them"):
        uploads.files_of([str(tmp_path / "one/a.txt"), str(tmp_path / "two/a.txt")], [])


@pytest.mark.parametrize(("size", "is_sent"), [(INLINE_FILE_BYTES, False), (INLINE_FILE_BYTES + 1, True)])
def test_a_large_file_is_sent_before_the_job_and_a_small_one_with_it(tmp_path, size, is_sent):
    (tmp_path / "a").write_bytes(b"x" * size)

    (file,) = uploads.files_of([str(tmp_path / "a")], [])

    assert file.get("upload") == (Local(tmp_path / "a") if is_sent else None)
    assert ("text" in file) is not is_sent


@pytest.mark.parametrize(("count", "is_sent"), [(8, False), (9, True)])
def test_small_files_go_with_the_job_if_all_of_them_fit(tmp_path, count, is_sent):
    for number in range(count):
        (tmp_path / f"{number:02}").write_bytes(b"x" * INLINE_FILE_BYTES)

    files = uploads.files_of([], [str(tmp_path)])[:-1]

    assert [file.get("upload") for file in files] == [
        Local(tmp_path / f"{number:02}") if is_sent else None for number in range(count)
    ]
    assert sum(len(file.get("text", "")) for file in files) == (0 if is_sent else INLINE_BYTES)


def test_an_empty_file_is_sent_or_goes_with_the_job_as_the_others_do(tmp_path):
    (tmp_path / "empty").touch()

    assert uploads.files_of([], [str(tmp_path)])[0]["text"] == ""


def test_so_many_files_that_their_paths_are_no_job_are_refused_before_anything_is_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "INLINE_BYTES", 0)
    monkeypatch.setattr(uploads, "_MOST_LISTED_BYTES", 1000)
    for number in range(8):
        (tmp_path / f"a-path-that-is-long-{number:0100}").write_text("x")

    with pytest.raises(BadUpload, match="their paths are too long together.*: pack them into one"):
        uploads.files_of([], [str(tmp_path)])


def test_more_files_than_a_job_can_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_ENTRIES", 2)
    for number in range(3):
        (tmp_path / f"{number}").touch()

    with pytest.raises(BadUpload, match="cannot upload 3 files: 2 can be: pack them into one"):
        uploads.files_of([], [str(tmp_path)])


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


@pytest.mark.parametrize(("uploaded", "told"), [(([""], []), "--upload FILE"), (([], [""]), "--upload-dir DIR, or .")])
def test_an_empty_name_is_not_taken_for_this_directory(tmp_path, monkeypatch, uploaded, told):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BadUpload) as refused:
        uploads.files_of(*uploaded)
    assert str(refused.value).startswith('cannot upload "": it names no ')
    assert told in str(refused.value)


def test_a_name_that_is_no_text_is_refused_and_shown(tmp_path):
    name = os.fsdecode(b"bad\xff.txt")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / name).write_text("x")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "good").symlink_to(name)

    for uploaded in (([str(tmp_path / "top" / name)], []), ([], [str(tmp_path / "top")])):
        with pytest.raises(BadUpload) as refused:
            uploads.files_of(*uploaded)
        shown = f"{tmp_path}/top/bad\\xff.txt"
        assert str(refused.value) == f"cannot upload {shown}: its name is no UTF-8 text: rename it, or pack it"
    with pytest.raises(BadUpload, match="/link/good: what it links to is no UTF-8 text"):
        uploads.files_of([], [str(tmp_path / "link")])
