"""Megabytes, cores and seconds, as the documents write them."""

import pytest

from api.cli import limits, sizes


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("512", "512Mi"),
        ("1024", "1024Mi"),
        ("512Mi", "512Mi"),
        ("2Gi", "2Gi"),
        ("1.5G", "1.5G"),
        (" 64 ", "64Mi"),
        ("64Mb", "64Mi"),
        ("1.5GB", "1536Mi"),
    ],
)
def test_memory_is_megabytes_unless_it_has_a_unit(written, meant):
    assert limits.memory(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [("4", "4"), ("8", "8"), ("0.5", "500m"), ("1.25", "1250m"), ("150%", "1500m"), ("400%", "4"), ("250m", "250m")],
)
def test_cpu_is_cores_and_a_percentage_is_of_one_core(written, meant):
    assert limits.cpu(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"), [("3600", 3600), ("90s", 90), ("1h30m", 5400), ("2d", 172800), ("0.5", 0.5), ("500ms", 0.5)]
)
def test_time_is_seconds_unless_it_has_units(written, meant):
    assert limits.runtime_seconds(written) == meant


@pytest.mark.parametrize(
    ("read", "written", "fix"),
    [
        (limits.memory, "512MBs", "use megabytes such as 512"),
        (limits.memory, "8kb", "must be at least 4Mi, and 8Ki is less"),
        (limits.memory, "much", "use megabytes such as 512"),
        (limits.memory, "", "use megabytes such as 512"),
        (limits.memory, "0", "leave it out for no limit"),
        (limits.memory, "-5", "leave it out for no limit"),
        (limits.memory, "1", "must be at least 4Mi, and 1Mi is less"),
        (limits.cpu, "0.005", "must be at least 10m"),
        (limits.env, "A B=1", '"A B" is no name of a variable'),
        (limits.env, "1A=1", "not starting with a digit"),
        (limits.env, "JOB_ID=1", "names starting with JOB_ are set by runwright"),
        (limits.cpu, "fast", "use cores such as 4 or 0.5"),
        (limits.cpu, "%", "use cores such as 4 or 0.5"),
        (limits.cpu, "nan%", "leave it out for no limit"),
        (limits.cpu, "0", "leave it out for no limit"),
        (limits.cpu, "0.0001", "finer than a thousandth of a core"),
        (limits.runtime_seconds, "1 hour", "use seconds, or 90s, 15m, 1h30m, 2d"),
        (limits.runtime_seconds, "0", "leave it out for no limit"),
        (limits.runtime_seconds, "1000d", "at most 365d"),
        (limits.env, "HOME", "write KEY=VALUE"),
        (limits.env, "=x", "write KEY=VALUE"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_with_the_fix(read, written, fix):
    with pytest.raises(ValueError) as refused:
        read(written)

    assert fix in str(refused.value)


def test_a_variable_keeps_every_byte_after_its_first_equals_sign():
    assert limits.env('OPTS=-a=1 b\n"c"') == ("OPTS", '-a=1 b\n"c"')


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("extract", {"job": "extract"}),
        ("job/extract:Finished", {"job": "extract", "condition": "Finished"}),
        ("extract:complete", {"job": "extract", "condition": "Complete"}),
        ("extract:COMPLETED", {"job": "extract", "condition": "Complete"}),
        ("extract:failed", {"job": "extract", "condition": "Failed"}),
    ],
)
def test_a_job_to_run_after_is_named_with_how_it_must_have_ended(text, meant):
    assert limits.after(text) == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it names no job"),
        (":Failed", "it names no job"),
        ("a:running", 'cannot read the condition "running": use Complete, Failed, Finished'),
        ("a:", 'cannot read the condition ""'),
    ],
)
def test_what_names_no_job_or_no_condition_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        limits.after(text)


@pytest.mark.parametrize(
    ("read", "written"),
    [
        (limits.memory, "512"), (limits.memory, "2Gi"), (limits.memory, "512MB"), (limits.disk, "10"),
        (limits.cpu, "2"), (limits.cpu, "150%"), (limits.requested_cpu, "500m"), (limits.io_rate, "10Mi"),
        (limits.cpu_set, "0-3"), (limits.runtime_seconds, "90"), (limits.runtime_seconds, "1h30m"),
        (limits.port, "80:8080"), (limits.gpus, "2"), (limits.device, "example.com/zero=2"), (sizes.parse, "1.5GB"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("zero", ["\N{ARABIC-INDIC DIGIT ZERO}", "\N{FULLWIDTH DIGIT ZERO}"])
def test_digits_of_other_scripts_are_refused_and_not_guessed(read, written, zero):
    read(written)
    other = "".join(chr(ord(zero) + int(each)) if each.isdigit() else each for each in written)

    with pytest.raises(ValueError, match=r"cannot read|cannot give|must be|use"):
        read(other)
