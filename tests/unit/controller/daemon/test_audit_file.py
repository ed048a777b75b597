"""The audit log as files: whole lines, bounded, and nothing lost while the disk refuses."""

import json
import stat

from controller.daemon.audit_file import AuditFile, AuditFiles


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_entry_is_a_line_with_mode_0600(tmp_path):
    log = AuditFile(tmp_path / "audit.log", 1 << 20, 3)
    log.write({"user": "a\nb"})
    log.write({"user": "c"})
    log.close()

    assert lines(tmp_path / "audit.log") == [{"user": "a\nb"}, {"user": "c"}]
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600


def test_files_are_rotated_and_bounded(tmp_path):
    log = AuditFile(tmp_path / "audit.log", 100, 3)
    for number in range(40):
        log.write({"number": number, "text": "x" * 30})
    log.close()

    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    kept = [entry["number"] for name in reversed(files) for entry in lines(tmp_path / name)]
    assert kept == list(range(40 - len(kept), 40))


def test_it_goes_on_where_it_was(tmp_path):
    for number in range(2):
        log = AuditFile(tmp_path / "audit.log", 1 << 20, 3)
        log.write({"number": number})
        log.close()

    assert [entry["number"] for entry in lines(tmp_path / "audit.log")] == [0, 1]


def test_what_cannot_be_written_is_kept_and_written_first_later(tmp_path):
    log = AuditFile(tmp_path / "missing/audit.log", 1 << 20, 3)
    log.write({"number": 0})
    assert "No such file" in log.problem()

    (tmp_path / "missing").mkdir()
    assert log.problem() == ""
    log.write({"number": 1})
    log.close()
    assert [entry["number"] for entry in lines(tmp_path / "missing/audit.log")] == [0, 1]


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "audit.log").symlink_to(tmp_path / "elsewhere")
    log = AuditFile(tmp_path / "audit.log", 1 << 20, 3)
    log.write({"number": 0})

    assert log.problem()
    assert not (tmp_path / "elsewhere").exists()


def test_of_too_many_the_first_are_kept_and_the_number_of_the_others_is_on_record(tmp_path):
    """The first one is of the change that was made when nobody knew yet that it could not be put on record."""
    log = AuditFile(tmp_path / "missing/audit.log", 1 << 20, 3)
    for number in range(1010):
        log.write({"time": f"t{number}", "number": number})
    (tmp_path / "missing").mkdir()
    log.write({"time": "later", "number": 1010})
    log.write({"time": "later", "number": 1011})
    log.close()

    kept = lines(tmp_path / "missing/audit.log")
    assert [entry.get("number") for entry in kept] == [*range(1000), None, 1011]
    assert kept[1000] == {"time": "later", "lost": 11}


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path):
    path = tmp_path / "audit.log"
    path.write_text('{"user": "a"}\n{"user":')
    log = AuditFile(path, 1 << 20, 3)
    log.write({"user": "b"})
    log.close()

    assert path.read_text().splitlines() == ['{"user": "a"}', '{"user":', '{"user":"b"}']


def test_who_is_unknown_displaces_no_record_of_somebody_known(tmp_path):
    log = AuditFiles(tmp_path / "audit.log", tmp_path / "audit-unknown.log", 100, 5)
    log.write({"user": "alice", "code": 200})
    for number in range(100):
        log.write({"code": 401, "number": number})
    log.close()

    assert lines(tmp_path / "audit.log") == [{"user": "alice", "code": 200}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit-unknown.log", "audit-unknown.log.1", "audit.log"]
    assert log.problem() == ""
