from controller.job import remains


def test_logs_of_runs_that_nobody_can_name_any_more_go_and_those_to_come_stay(tmp_path):
    for name in ("1", "2", "5", "7", "8", "not-a-run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.log").write_text("said")

    remains.remove_old_logs(tmp_path, [2, 6], begun=7)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "8", "not-a-run"]


def test_a_job_without_logs_or_runs_on_record_loses_nothing(tmp_path):
    (tmp_path / "1").mkdir()

    remains.remove_old_logs(tmp_path, [], begun=0)
    remains.remove_old_logs(tmp_path / "nowhere", [3], begun=3)

    assert (tmp_path / "1").is_dir()
