"""Which platform a host is, in the words of catalogues: `ubuntu-amd64`, `rhel-arm64`.

Pure: takes the text of os-release and `uname -m`. Debian counts as ubuntu, and Rocky, Alma, CentOS and
Fedora as rhel, because their runtimes are the same.
"""

import shlex

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x64": "amd64",
    "aarch64": "arm64",
    "armv8l": "arm64",
}
_DISTRIBUTIONS = {
    "debian": "ubuntu",
    "raspbian": "ubuntu",
    "centos": "rhel",
    "rocky": "rhel",
    "alma": "rhel",
    "almalinux": "rhel",
    "fedora": "rhel",
    "ol": "rhel",
}
_KNOWN = frozenset({"ubuntu", "rhel", "amzn"})


def architecture(machine: str) -> str:
    """Return the one name of an architecture that has several.

    >>> architecture("x86_64"), architecture("arm64"), architecture("riscv64")
    ('amd64', 'arm64', 'riscv64')
    """
    lowered = machine.lower()
    return _ARCHITECTURES.get(lowered, lowered)


def host_platform(os_release: str, machine: str) -> str:
    """Return the platform of a host with this /etc/os-release and `uname -m`.

    >>> host_platform('ID=pop\\nID_LIKE="ubuntu debian"', "x86_64")
    'ubuntu-amd64'
    """
    fields = _fields(os_release)
    names = [fields.get("ID", "linux"), *fields.get("ID_LIKE", "").split()]
    families = [_DISTRIBUTIONS.get(name, name) for name in names]
    family = next((family for family in families if family in _KNOWN), families[0])
    return f"{family}-{architecture(machine)}"


def supports(platforms: tuple[str, ...], host: str) -> bool:
    """Say whether something made for `platforms` runs on `host`; made for none in particular, it runs anywhere.

    >>> supports(("debian-x86_64",), "ubuntu-amd64"), supports(("rhel-amd64",), "ubuntu-amd64"), supports((), "x-y")
    (True, False, True)
    """
    return not platforms or host in {_normalised(platform) for platform in platforms}


def _normalised(platform: str) -> str:
    distribution, _, machine = platform.lower().rpartition("-")
    return f"{_DISTRIBUTIONS.get(distribution, distribution)}-{architecture(machine)}"


def _fields(os_release: str) -> dict[str, str]:
    fields = {}
    for line in os_release.splitlines():
        key, separator, value = line.strip().partition("=")
        if not separator or key.startswith("#"):
            continue
        try:
            fields[key] = "".join(shlex.split(value)).lower()
        except ValueError:  # An unclosed quote: the line says nothing that we can use.
            continue
    return fields
