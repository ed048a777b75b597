import doctest

from controller.daemon import host_usage


def test_the_examples_of_how_the_kernel_counts_are_right():
    assert doctest.testmod(host_usage) == (0, 3)


def test_this_host_uses_something_of_what_it_has(tmp_path):
    used = host_usage.look(tmp_path)

    assert 0 < used.memory_bytes < used.memory_total_bytes
    assert 0 < used.disk_bytes < used.disk_total_bytes
    assert used.cpu_seconds > 0
    assert used.running_seconds > 0
    assert used.processes > 1
