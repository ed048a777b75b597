import pytest

from controller.cgroup import cpus


@pytest.mark.parametrize(("text", "numbers"), [("0\n", (0,)), ("0-3,7", (0, 1, 2, 3, 7)), ("", ()), ("1,0", (0, 1))])
def test_the_kernels_lists_are_read(text, numbers):
    assert cpus.cpu_numbers(text) == numbers


@pytest.mark.parametrize("text", ["a", "1-x", "-1-2"])
def test_what_is_no_list_is_refused(text):
    with pytest.raises(ValueError):
        cpus.cpu_numbers(text)


def test_what_is_written_is_read_as_it_was():
    for numbers in ((), (0,), (0, 1, 2), (1, 3, 4, 9)):
        assert cpus.cpu_numbers(cpus.text(numbers)) == numbers


def test_the_cpus_of_this_host_are_those_that_it_runs_on():
    assert 0 in cpus.online()


def test_cpus_are_what_a_system_says(tmp_path):
    (tmp_path / "devices/system/cpu").mkdir(parents=True)
    (tmp_path / "devices/system/cpu/online").write_text("0-1,3\n")

    assert cpus.online(str(tmp_path)) == (0, 1, 3)
