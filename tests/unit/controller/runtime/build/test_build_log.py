"""The logs of builds on disk."""

from controller.runtime.build.build_log import BuildLog, read


def test_a_log_is_read_as_it_was_written(tmp_path):
    with BuildLog(tmp_path / "logs", "a-1.0.0") as log:
        log.line("one")
        log.line("zwei ü")

    assert list(read(tmp_path / "logs", "a-1.0.0")) == ["one", "zwei ü"]


def test_a_log_can_be_read_while_it_is_written(tmp_path):
    with BuildLog(tmp_path, "a-1.0.0") as log:
        log.line("so far")

        assert list(read(tmp_path, "a-1.0.0")) == ["so far"]


def test_of_a_log_that_is_too_large_the_end_is_kept(tmp_path):
    with BuildLog(tmp_path, "a-1.0.0", largest_bytes=100) as log:
        for number in range(1000):
            log.line(f"line {number}")

    kept = list(read(tmp_path, "a-1.0.0"))
    assert kept[-1] == "line 999"
    assert kept == [f"line {number}" for number in range(1000 - len(kept), 1000)]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 200


def test_the_next_build_begins_its_log_anew(tmp_path):
    with BuildLog(tmp_path, "a-1.0.0", largest_bytes=10) as log:
        log.line("first build")
        log.line("first build")
    with BuildLog(tmp_path, "a-1.0.0") as log:
        log.line("second")

    assert list(read(tmp_path, "a-1.0.0")) == ["second"]


def test_what_was_never_built_has_no_log(tmp_path):
    assert list(read(tmp_path, "a-1.0.0")) == []


def test_logs_are_not_for_others(tmp_path):
    with BuildLog(tmp_path / "logs", "a-1.0.0") as log:
        log.line("text")

    assert (tmp_path / "logs" / "a-1.0.0.log").stat().st_mode & 0o077 == 0
