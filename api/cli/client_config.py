"""`~/.rnx/config.yaml`: hosts by name, runtimes by short names, registries, and what jobs get when no flag says it.

Here: reading the file and what it means. Never here: where it is found (`connection.py`), nor what a command makes of
it. Invariant: a file that cannot be read, or that says what cannot be, stops the command and names the key; what is for
the daemon's settings is left alone.
"""

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from api.client_transport import Address

T = TypeVar("T")
_OF_THE_DAEMON = frozenset(
    {"cache_dir", "cache_max_size_gb", "cache_retention_days", "cache_enabled", "download", "install"}
    | {"version_resolution", "logging", "metrics", "security", "experimental", "version"}
)
"""Keys of Joblet's sample that say how a host works: those are settings of `runwrightd`."""


_HOST_KEYS = frozenset({"server", "address", "root", "kubeconfig", "namespace", "ca", "cert", "key", "nodeId"})


class BadConfig(Exception):
    """The file cannot be used; the message names it, the key, and the fix."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where a daemon is: one of `server`, `root`, `kubeconfig`, or Joblet's address with its PEM texts."""

    server: str = ""
    root: str = ""
    kubeconfig: str = ""
    namespace: str = ""
    authority: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)

    def address(self) -> "Address":
        """Return the address of its API. Raises BadAddress."""
        from api.client_transport import Address
        from api.kubeconfigs import Credentials

        if self.kubeconfig:
            return Address.of_kubeconfig(Path(self.kubeconfig).expanduser())
        if self.root:
            return Address.of_root(Path(self.root).expanduser())
        if not self.certificate:
            return Address.parse(self.server)
        server = self.server if "://" in self.server else f"https://{self.server}"
        proof = Credentials(
            server, "", self.authority.encode(), certificate=self.certificate.encode(), key=self.key.encode()
        )
        return Address(None, server, proof)


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """What `rnx job run` gives a job when no flag says otherwise; None and empty are nothing."""

    runtime: str = ""
    cpu: str | None = None
    memory: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """All that a file says; without a file, nothing."""

    path: str = ""
    hosts: Mapping[str, Host] = field(default_factory=dict)
    current_host: str = ""
    namespace: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    registries: Mapping[str, str] = field(default_factory=dict)
    jobs: JobDefaults = JobDefaults()

    def host(self, name: str) -> Host:
        """Return the host of that name. Raises BadConfig."""
        if name in self.hosts:
            return self.hosts[name]
        raise BadConfig(f'cannot find the host "{name}" in {self._known_hosts()}: add it below hosts')

    def hosts_of(self, text: str) -> Iterator[str]:
        """Yield the hosts that `--host` means: names, patterns and @FILE with commas between. Raises BadConfig."""
        for each in filter(None, text.split(",")):
            if each.startswith("@"):
                for line in _read_names(Path(each[1:]).expanduser()):
                    yield from self.hosts_of(line)
            elif any(sign in each for sign in "*?["):
                yield from self._hosts_like(each)
            else:
                self.host(each)
                yield each

    def _hosts_like(self, pattern: str) -> tuple[str, ...]:
        found = tuple(name for name in self.hosts if fnmatch.fnmatchcase(name, pattern))
        if not found:
            raise BadConfig(f'cannot find a host like "{pattern}" in {self._known_hosts()}')
        return found

    def _known_hosts(self) -> str:
        return f"{self.path or '~/.rnx/config.yaml'}: it knows {', '.join(self.hosts) or 'none'}"

    def runtime(self, text: str) -> str:
        """Return what a runtime is called where it is named by an alias, else `text`."""
        return self.aliases.get(text, text)


def _read_names(path: Path) -> list[str]:
    """Return the names in a file: with blanks, commas or new lines between, and none after a #."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadConfig(f"cannot read the hosts in {path}: {why}: write their names into it, one a line") from error
    names = [name for line in lines for name in line.partition("#")[0].replace(",", " ").split()]
    if nested := next((name for name in names if name.startswith("@")), ""):
        raise BadConfig(f"cannot read the hosts in {path}: {nested} is another file: name both in --host")
    return names


def read(path: Path) -> tuple[ClientConfig, tuple[str, ...]]:
    """Return what the file says, and the keys in it that mean nothing.

    Raises:
        BadConfig: it cannot be read, or a key has a value that it cannot have.
    """
    import yaml

    try:
        document = _document(path)
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror}: mend it, or set RNX_CONFIG to another") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise BadConfig(f"cannot read {path}{line}: it is no YAML: {getattr(error, 'problem', error)}") from error
    reader = _Reader(path)
    return reader.config(document), tuple(reader.unknown)


def _document(path: Path) -> object:
    """Return what the file says, every scalar as text. Raises OSError, YAMLError, BadConfig."""
    import yaml

    from api.cli import yaml_repeats

    loader = yaml.BaseLoader(path.read_text())
    try:
        node = loader.get_single_node()
        if repeated := yaml_repeats.first(node):
            key, line = repeated
            raise BadConfig(f'cannot use {path}:{line}: "{key}" is there twice: remove one')
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


class _Reader:
    """Reads one document; remembers the keys that nobody knows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unknown: list[str] = []

    def config(self, document: object) -> ClientConfig:
        top = self._mapping("", document, lambda _, value: value)
        known = {"hosts", "nodes", "current-host", "namespace", "default_runtime", "aliases", "jobs", "runtimes"}
        self._note("", top, known | _OF_THE_DAEMON)
        hosts = self._mapping("nodes", top.get("nodes"), self._host) | self._mapping(
            "hosts", top.get("hosts"), self._host
        )
        current = self._text("current-host", top.get("current-host")) or ("default" if "default" in hosts else "")
        if current and current not in hosts:
            raise self._bad("current-host", f'"{current}" is not among hosts ({", ".join(hosts) or "none"})')
        jobs = self._mapping("jobs", top.get("jobs"), lambda _, value: value)
        self._note("jobs", jobs, {"defaults"})
        default_runtime = self._text("default_runtime", top.get("default_runtime"))
        return ClientConfig(
            path=str(self._path),
            hosts=hosts,
            current_host=current,
            namespace=self._text("namespace", top.get("namespace")),
            aliases=self._mapping("aliases", top.get("aliases"), self._text),
            registries=self._registries(top.get("runtimes")),
            jobs=self._defaults(jobs.get("defaults"), default_runtime),
        )

    def _host(self, where: str, value: object) -> Host:
        name = where.partition(".")[2]
        if not name or name.startswith("@") or any(letter in ",*?[" or letter.isspace() for letter in name):
            raise self._bad(
                where, "--host cannot name it: a name is not empty, has no blanks nor , * ? [ and begins with no @"
            )
        if value and isinstance(value, str):
            return Host(server=value)
        fields = self._mapping(where, value, self._text)
        self._note(where, fields, _HOST_KEYS)
        ways = [name for name in ("server", "address", "root", "kubeconfig") if fields.get(name)]
        if len(ways) != 1:
            raise self._bad(where, "needs exactly one of server, address, root and kubeconfig")
        if bool(fields.get("cert")) != bool(fields.get("key")):
            raise self._bad(where, "needs cert and key together")
        return Host(
            server=fields.get("server", "") or fields.get("address", ""),
            root=fields.get("root", ""),
            kubeconfig=fields.get("kubeconfig", ""),
            namespace=fields.get("namespace", ""),
            authority=fields.get("ca", ""),
            certificate=fields.get("cert", ""),
            key=fields.get("key", ""),
        )

    def _registries(self, value: object) -> dict[str, str]:
        runtimes = self._mapping("runtimes", value, lambda _, each: each)
        self._note("runtimes", runtimes, {"registries"} | _OF_THE_DAEMON)
        listed = runtimes.get("registries") or []
        if not isinstance(listed, list):
            raise self._bad("runtimes.registries", "must be a list")
        found = {}
        for index, each in enumerate(listed):
            where = f"runtimes.registries[{index}]"
            entry = self._mapping(where, each, lambda _, value: value)
            self._note(where, entry, {"name", "url", "enabled", "verify_checksums", "auth", "priority"})
            name, url = self._text(f"{where}.name", entry.get("name")), self._text(f"{where}.url", entry.get("url"))
            if not name or not url:
                raise self._bad(where, "needs name and url")
            if self._text(f"{where}.verify_checksums", entry.get("verify_checksums")).lower() == "false":
                raise self._bad(f"{where}.verify_checksums", "checksums are always verified: leave it out")
            if name in found:
                raise self._bad(where, f'"{name}" is there twice: remove one, or call it otherwise')
            if self._text(f"{where}.enabled", entry.get("enabled")).lower() != "false":
                found[name] = url
        return found

    def _defaults(self, value: object, runtime: str) -> JobDefaults:
        from api.cli import limits

        where = "jobs.defaults"
        fields = self._mapping(where, value, self._text)
        self._note(where, fields, {"runtime", "cpu_cores", "memory_mb", "timeout_minutes"})

        def of(name: str, read: Callable[[str], T]) -> T | None:
            try:
                return read(fields[name]) if fields.get(name) else None
            except ValueError as error:
                raise self._bad(f"{where}.{name}", str(error)) from error

        return JobDefaults(
            runtime=fields.get("runtime", "") or runtime,
            cpu=of("cpu_cores", limits.cpu),
            memory=of("memory_mb", limits.memory),
            seconds=of("timeout_minutes", lambda text: limits.runtime_seconds(f"{text}m")),
        )

    def _mapping(self, where: str, value: object, read: Callable[[str, Any], T]) -> dict[str, T]:
        if value in (None, ""):
            return {}
        if not isinstance(value, dict):
            raise self._bad(where, "must be a mapping of names to values")
        return {str(name): read(f"{where}.{name}" if where else str(name), each) for name, each in value.items()}

    def _text(self, where: str, value: object) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._bad(where, "must be one value")
        return value

    def _note(self, where: str, found: Mapping[str, object], known: frozenset[str] | set[str]) -> None:
        self.unknown += [f"{where}.{name}" if where else name for name in found if name not in known]

    def _bad(self, where: str, why: str) -> BadConfig:
        return BadConfig(f"cannot use {self._path}: {where or 'the file'}: {why}")
