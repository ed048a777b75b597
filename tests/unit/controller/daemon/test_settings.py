import pytest

from controller.daemon.settings import Settings, SettingsError, load, share_of_memory


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_without_a_file_all_settings_have_their_defaults(tmp_path):
    loaded = load(tmp_path / "config.yaml")

    assert loaded.settings == Settings()
    assert loaded.warnings == ()
    assert loaded.settings.runtime.base_path == "/opt/joblet/runtimes"


def test_a_file_that_was_named_must_be_there(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read settings .*config\.yaml: there is no such file"):
        load(tmp_path / "config.yaml", required=True)


def test_an_empty_file_and_an_empty_section_are_the_defaults(tmp_path):
    assert load(write(tmp_path, "")).settings == Settings()
    assert load(write(tmp_path, "runtime:\n  # enabled: false\njobs:\n  pids: 64\n")).settings.jobs.pids == 64


def test_an_unknown_key_is_named_with_the_one_that_was_meant(tmp_path):
    loaded = load(write(tmp_path, "runtime:\n  base_pth: /x\nlog: {}\nmanifests:\n  color: red\n"))

    first, second, third = loaded.warnings
    assert first.endswith("config.yaml:2: unknown key runtime.base_pth: did you mean runtime.base_path?")
    assert second.endswith("config.yaml:3: unknown key log: did you mean logs?")
    assert "config.yaml:5: unknown key manifests.color: known here are directory, inbox, rescan_seconds" in third


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runtime: {enabled: perhaps}", r"setting runtime\.enabled of .*config\.yaml:1: .*valid boolean"),
        ("jobs: {workers: 0}", r"jobs\.workers .*greater than or equal to 1"),
        ("logs: {max_size: 10 Mb}", r"logs\.max_size .*: cannot read"),
        ("jobs: {work_size: 0}", r"jobs\.work_size .*: must be at least 4Ki"),
        ("state: {compact_seconds: .inf}", r"state\.compact_seconds .*finite"),
        ("manifests: {directory: ../x}", r"manifests\.directory .*: must be an absolute path"),
        ("manifests: {directory: /etc/../x}", r"must be an absolute path without \.\."),
        ("runtime: {base_path: /}", r"must be an absolute path without \.\., below /"),
        ("cgroup: {parent: a/b}", r"cgroup\.parent .*must be one name"),
        ("cgroup: {memory: 1Ki}", r"cgroup\.memory .*must be at least 4Mi"),
        ("cgroup: {cpu: fast}", r"cgroup\.cpu .*a share of the host's such as \"80%\", or \"none\""),
        ("cgroup: {cpu: 5m}", r"cgroup\.cpu .*at least 10m"),
        ("cgroup: {cpu: 120%}", r"cgroup\.cpu .*between 1% and 100%"),
        ("cgroup: {pids: many}", r"cgroup\.pids .*must be a number, a share"),
        ("cgroup: {pids: 10}", r"cgroup\.pids .*must be at least 64"),
        ("jobs: {memory: most}", r"jobs\.memory .*a share of the host's such as \"90%\", or \"none\""),
        ("jobs: {memory: 0%}", r"jobs\.memory .*between 1% and 100%"),
        ("jobs: {memory: 101%}", r"jobs\.memory .*between 1% and 100%"),
        ("jobs: {memory: 64}", r"jobs\.memory .*must be at least 4Mi"),
        ("{1: 2}", r"unknown key 1: known here are runtime"),
        ("jobs: {{1: 2}: 3}", r"cannot read settings"),
        ("runtime: [1]", r"setting runtime of .*valid dictionary"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_key_and_file(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message):
        load(write(tmp_path, text))


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, "jobs: {workers: 0, pids: 0}\nengine: {resync_seconds: soon}\n"))

    assert len(str(caught.value).splitlines()) == 3


def test_keys_that_nobody_knows_are_told_beside_values_that_cannot_be_used_by_line(tmp_path):
    text = "jobs:\n  pidz: 3\n  workers: 0\n  work_size: 1\nengin: {}\nmanifests: {directory: x, inbox: y}\n"

    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, text), ("logs.max_files=0",))

    said = [line.replace(str(tmp_path), "") for line in str(caught.value).splitlines()]
    assert [line.partition(": ")[0] for line in said] == [
        "cannot use setting logs.max_files of --set logs.max_files=0",
        "/config.yaml:2",
        "cannot use setting jobs.workers of /config.yaml:3",
        "cannot use setting jobs.work_size of /config.yaml:4",
        "/config.yaml:5",
        "cannot use setting manifests.directory of /config.yaml:6",
        "cannot use setting manifests.inbox of /config.yaml:6",
    ]


@pytest.mark.parametrize(
    ("text", "bytes_"), [("90%", 900), ("100%", 1000), ("4Gi", 4 * 2**30), ("1.5G", 1_500_000_000), ("none", None)]
)
def test_the_memory_of_a_job_that_does_not_say_is_a_share_of_the_host_or_a_size_or_unlimited(text, bytes_):
    assert share_of_memory(text, 1000) == bytes_


@pytest.mark.parametrize("text", ["a: [", "\x00", "- one", "just text", "{a: b}: c"])
def test_what_is_no_settings_file_is_refused(tmp_path, text):
    with pytest.raises(SettingsError, match="cannot read settings"):
        load(write(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00runtime")

    with pytest.raises(SettingsError, match="it is no YAML"):
        load(path)


def test_a_flag_wins_over_the_file(tmp_path):
    path = write(tmp_path, "jobs: {pids: 64, workers: 2}\nruntime:\n")

    settings = load(path, ("jobs.pids=128", "runtime.enabled=false", "runtime.default_registry=")).settings

    assert (settings.jobs.pids, settings.jobs.workers, settings.runtime.enabled) == (128, 2, False)
    assert settings.runtime.default_registry == ""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("jobs.pids", "write SECTION.KEY=VALUE"),
        ("pids=3", "write SECTION.KEY=VALUE"),
        ("jobs.pid=3", "there is no setting jobs.pid"),
        ("nothing.pids=3", "there is no setting nothing.pids"),
        ("jobs.pids=[", "its value is no YAML"),
        ("jobs.pids=many", r"setting jobs\.pids of --set jobs\.pids=many: .*valid integer"),
    ],
)
def test_a_flag_that_cannot_be_used_is_refused(tmp_path, override, message):
    with pytest.raises(SettingsError, match=message):
        load(tmp_path / "config.yaml", (override,))


def test_every_setting_says_what_it_is_for():
    undocumented = [
        f"{section}.{name}"
        for section, about in Settings.model_fields.items()
        for name, field in about.annotation.model_fields.items()
        if not field.description
    ]

    assert undocumented == []
