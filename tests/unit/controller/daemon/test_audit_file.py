"""The audit log as files: whole lines, bounded, and nothing lost while the disk refuses."""

import json
import stat

from controller.daemon.audit_file import AuditFile


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
