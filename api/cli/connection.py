"""Which server and namespace a command speaks to: flags, then environment, then the person's file, then the default.

`--server`, `--root` and `--namespace` may stand before or after the command's name, as in kubectl.
The only module of the command line that reads the environment.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from api.cli.client_config import BadConfig, ClientConfig, Host

if TYPE_CHECKING:
    from api.client import Client
    from api.client_transport import Address

Command = TypeVar("Command", bound=Callable[..., Any])
CONFIG_FILES = ("~/.rnx/config.yaml", "~/.rnx/rnx-config.yml")
"""Of a person, and of nobody else: a file of the current directory would send commands where its author likes."""


class WouldReach(BaseException):
    """A rehearsal came to where a host would be asked: whatever can be refused without asking was not."""


class SeveralHosts(Exception):
    """`--host` named several: each is to be asked by itself."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        """Note what was said, `a,b,web*`, and which hosts those are."""
        super().__init__(text)
        self.text = text
        self.names = names


@dataclass(slots=True)
class Connection:
    """What the global flags said, and the client made from it when it is first needed."""

    server: str = ""
    root: str = ""
    kubeconfig: str = ""
    namespace_flag: str = ""
    host: str = ""
    config_file: str = ""
    is_one_of_several: bool = False
    is_rehearsal: bool = False
    _config: ClientConfig | None = None
    _client: "Client | None" = None

    @property
    def namespace(self) -> str:
        """The namespace asked for, else that of the host or of the file, else `default`."""
        if self.namespace_flag:
            return self.namespace_flag
        host = self._configured_host()
        return (host.namespace if host else "") or self.config.namespace or "default"

    @property
    def config(self) -> ClientConfig:
        """What the person's file says. Raises BadConfig."""
        if self._config is None:
            self._config = _read_config(self.config_file or environment("RNX_CONFIG"))
        return self._config

    def only_one_host(self, what: str) -> None:
        """Refuse to do `what` where several hosts are asked at once. Raises UsageError."""
        if self.is_one_of_several:
            raise click.UsageError(f"cannot {what} on several hosts at once: name one with --host")

    def only_commands_that_reach(self, command: click.Command | None) -> None:
        """Refuse a command that speaks to no host where several are asked at once. Raises UsageError."""
        if not self.is_one_of_several or command is None or isinstance(command, click.Group):
            return
        if not any("--host" in option.opts for option in command.params):
            raise click.UsageError(f"{command.name} speaks to no host: leave --host out")

    def one_of_several(self, *, is_rehearsal: bool = False) -> "Connection":
        """Return what one of several hosts is spoken to with; the file was read for all of them."""
        return Connection(is_one_of_several=True, is_rehearsal=is_rehearsal, _config=self._config)

    def _configured_host(self) -> Host | None:
        """The host of the file that is meant: what --host says, else the current one unless something else is said."""
        if self.host and (self.server or self.root or self.kubeconfig):
            raise click.UsageError("--host, --server, --root and --kubeconfig each say which server: say one of them")
        if self.host:
            return self.config.host(self.host)
        said = self.server or self.root or self.kubeconfig or any(map(environment, _VARIABLES))
        return self.config.host(self.config.current_host) if self.config.current_host and not said else None

    @property
    def address(self) -> "Address":
        """Where the server is. Raises BadAddress."""
        from api.client_transport import DEFAULT_SOCKET, Address

        if host := self._configured_host():
            return host.address()
        server, root, kubeconfig = self.server, self.root, self.kubeconfig
        if not server and not root and not kubeconfig:
            server, root, kubeconfig = map(environment, _VARIABLES)
        if kubeconfig and not server and not root:
            return Address.of_kubeconfig(Path(kubeconfig))
        if server:
            return Address.parse(server)
        return Address.of_root(Path(root)) if root else Address.of_socket(DEFAULT_SOCKET)

    @property
    def client(self) -> "Client":
        """The client; connects with its first request."""
        from api.client import Client

        if self.is_rehearsal:
            self._configured_host()
            raise WouldReach()
        if self._client is None:
            self._client = Client(self.address)
        return self._client

    def close(self) -> None:
        """Close the client, if one was made."""
        if self._client is not None:
            self._client.close()


_VARIABLES = ("RUNWRIGHT_SERVER", "RUNWRIGHT_ROOT", "RUNWRIGHT_KUBECONFIG")


def _read_config(named: str) -> ClientConfig:
    from api.cli import client_config

    candidates = [Path(named)] if named else [Path(each).expanduser() for each in CONFIG_FILES]
    path = next((each for each in candidates if named or each.exists()), None)
    if path is None:
        return ClientConfig()
    config, unknown = client_config.read(path)
    for key in unknown:
        click.echo(f"Warning: {path}: unknown key {key}: see rnx config --help", err=True)
    return config


def environment(name: str) -> str:
    """Return an environment variable, empty if it is not set."""
    return os.environ.get(name, "")  # noqa: TID251  This is where the command line reads its settings.


def colours_refused() -> bool:
    """Say whether the person asked for no colours, or the terminal has none. Source: no-color.org."""
    return bool(environment("NO_COLOR")) or environment("TERM") == "dumb"


def _remember(field: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def remember(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
        if value is not None:
            setattr(ctx.ensure_object(Connection), field, _not_empty(ctx, option, value))

    return remember


def _not_empty(ctx: click.Context, option: click.Parameter, value: str) -> str:
    """Refuse what a shell makes of a variable that is not set: it would mean the default, which nobody named."""
    if not value and not ctx.resilient_parsing:
        flag = next((name for name in option.opts if name.startswith("--")), option.opts[0])
        raise click.UsageError(f"{flag} is empty: write {flag} {option.metavar}", ctx)
    return value


def _remember_host(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    connection = ctx.ensure_object(Connection)
    if not any(sign in _not_empty(ctx, option, value) for sign in ",*?[") and not value.startswith("@"):
        connection.host = value
        return
    names = tuple(dict.fromkeys(connection.config.hosts_of(value)))
    if ctx.resilient_parsing and names:
        connection.host = names[0]  # To complete with what there is at one of them.
        return
    raise SeveralHosts(value, names)


def _complete_host(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    try:
        hosts = ctx.ensure_object(Connection).config.hosts
    except BadConfig:
        return []
    return [name for name in hosts if name.startswith(incomplete)]


def _complete_namespace(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    from api.cli import completing

    return completing.names(ctx.ensure_object(Connection), "namespaces", incomplete)


_SERVER = partial(
    click.option, metavar="ADDRESS", expose_value=False, callback=_remember("server"),
    help="unix:///PATH or http://HOST:PORT. Default: $RUNWRIGHT_SERVER, else the daemon's socket.",
)  # fmt: skip
_OPTIONS = (
    click.option("--root", metavar="DIR", expose_value=False, callback=_remember("root"),
                 help="Speak to the daemon that runs with --root DIR. Default: $RUNWRIGHT_ROOT."),
    click.option("--kubeconfig", metavar="FILE", expose_value=False, callback=_remember("kubeconfig"),
                 help="Speak to its server, as its user. Default: $RUNWRIGHT_KUBECONFIG."),
    click.option("--config", metavar="FILE", expose_value=False, callback=_remember("config_file"), is_eager=True,
                 help="Read this in place of ~/.rnx/config.yaml. Default: $RNX_CONFIG."),
    click.option("--host", "--node", metavar="NAME[,NAME…]", expose_value=False, callback=_remember_host,
                 shell_complete=_complete_host,
                 help="Speak to a host of ~/.rnx/config.yaml, or to all of several: names and patterns, as 'web*,db1', "
                 "and @FILE with more of them. Default: its current-host."),
    click.option("-n", "--namespace", metavar="NAME", expose_value=False, callback=_remember("namespace_flag"),
                 shell_complete=_complete_namespace, help="The namespace. Default: default."),
)  # fmt: skip


def reaching(command: Command) -> Command:
    """Give a command the flags that say which server and namespace it speaks to."""
    return _reaching(command, _SERVER("-s", "--server"))


def reaching_but_for_s(command: Command) -> Command:
    """Give a command the same, but for the short name -s, which is another flag of its own."""
    return _reaching(command, _SERVER("--server"))


def _reaching(command: Command, server: Callable[[Command], Command]) -> Command:
    for option in reversed((server, *_OPTIONS)):
        command = option(command)
    return command


pass_connection = click.make_pass_decorator(Connection, ensure=True)
