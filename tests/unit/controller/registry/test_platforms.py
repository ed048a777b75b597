"""Which platform a host is."""

import pytest

from controller.registry import platforms


@pytest.mark.parametrize(
    ("os_release", "machine", "platform"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n', "x86_64", "ubuntu-amd64"),
        ("ID=ubuntu\nID_LIKE=debian\n", "aarch64", "ubuntu-arm64"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "x86_64", "rhel-amd64"),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\n', "x86_64", "rhel-amd64"),
        ('ID="amzn"\nID_LIKE="centos rhel fedora"\n', "arm64", "amzn-arm64"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "x86_64", "ubuntu-amd64"),
        ("ID=arch\n", "x86_64", "arch-amd64"),
        ("", "riscv64", "linux-riscv64"),
        ('# a comment\nID="unclosed\n', "x86_64", "linux-amd64"),
    ],
)
def test_a_host_is_known_by_its_family_and_architecture(os_release: str, machine: str, platform: str):
    assert platforms.host_platform(os_release, machine) == platform


@pytest.mark.parametrize("listed", ["ubuntu-amd64", "debian-amd64", "ubuntu-x86_64", "Ubuntu-AMD64"])
def test_the_names_of_one_platform_are_the_same(listed: str):
    assert platforms.supports((listed,), "ubuntu-amd64")


def test_what_is_made_for_another_architecture_or_family_is_not_supported():
    assert not platforms.supports(("ubuntu-arm64", "rhel-amd64"), "ubuntu-amd64")
