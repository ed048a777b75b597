"""What commands on the network are given of the host's configuration of pip."""

from controller.runtime.build import sandboxed


def test_the_local_directories_that_pip_is_configured_with_are_shown(tmp_path):
    wheels, index = tmp_path / "wheels", tmp_path / "pypi/simple"
    wheels.mkdir()
    index.mkdir(parents=True)
    text = f"[global]\nextra-index-url =\n    https://host/simple\n    file://{index}\ncert = {tmp_path}\n"

    found = sandboxed.local_indexes({"PIP_FIND_LINKS": str(wheels)}, {"/root/.config/pip/pip.conf": text})

    assert found == (tmp_path / "pypi", wheels)


def test_other_settings_and_other_files_show_nothing(tmp_path):
    assert sandboxed.local_indexes({"PIP_CERT": str(tmp_path)}, {"/etc/npmrc": f"find-links = {tmp_path}"}) == ()


def test_a_path_of_a_url_is_no_directory_of_this_host(tmp_path):
    assert sandboxed.local_indexes({"PIP_INDEX_URL": f"https://host{tmp_path}"}, {}) == ()
