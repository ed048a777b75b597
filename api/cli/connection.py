"""Which server and namespace a command speaks to: flags, then environment, then the default.

`--server`, `--root` and `--namespace` may stand before or after the command's name, as in kubectl.
The only module of the command line that reads the environment.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from api.client import Client
    from api.client_transport import Address

Command = TypeVar("Command", bound=Callable[..., Any])
SOCKET_BELOW_ROOT = "run/runwright/api.sock"


@dataclass(slots=True)
class Connection:
    """What the global flags said, and the client made from it when it is first needed."""

    server: str = ""
    root: str = ""
    kubeconfig: str = ""
    namespace_flag: str = ""
    _client: "Client | None" = None

    @property
    def namespace(self) -> str:
        """The namespace asked for, else `default`."""
        return self.namespace_flag or "default"

    @property
    def address(self) -> "Address":
        """Where the server is. Raises BadAddress."""
        from api.client_transport import DEFAULT_SOCKET, Address

        server, root, kubeconfig = self.server, self.root, self.kubeconfig
        if not server and not root and not kubeconfig:
            server, root = environment("RUNWRIGHT_SERVER"), environment("RUNWRIGHT_ROOT")
            kubeconfig = environment("RUNWRIGHT_KUBECONFIG")
        if kubeconfig and not server and not root:
            return Address.of_kubeconfig(Path(kubeconfig))
        if server:
            return Address.parse(server)
        return Address.of_socket(Path(root).absolute() / SOCKET_BELOW_ROOT if root else DEFAULT_SOCKET)

    @property
    def client(self) -> "Client":
        """The client; connects with its first request."""
        from api.client import Client

        if self._client is None:
            self._client = Client(self.address)
        return self._client

    def close(self) -> None:
        """Close the client, if one was made."""
        if self._client is not None:
            self._client.close()


def environment(name: str) -> str:
    """Return an environment variable, empty if it is not set."""
    return os.environ.get(name, "")  # noqa: TID251  This is where the command line reads its settings.


def colours_refused() -> bool:
    """Say whether the person asked for no colours. Source: no-color.org."""
    return bool(environment("NO_COLOR"))


def _remember(field: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def remember(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            setattr(ctx.ensure_object(Connection), field, value)

    return remember


def _complete_namespace(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    from api.cli import completing

    return completing.names(ctx.ensure_object(Connection), "namespaces", incomplete)


_OPTIONS = (
    click.option("-s", "--server", metavar="ADDRESS", expose_value=False, callback=_remember("server"),
                 help="unix:///PATH or http://HOST:PORT. Default: $RUNWRIGHT_SERVER, else the daemon's socket."),
    click.option("--root", metavar="DIR", expose_value=False, callback=_remember("root"),
                 help="Speak to the daemon that runs with --root DIR. Default: $RUNWRIGHT_ROOT."),
    click.option("--kubeconfig", metavar="FILE", expose_value=False, callback=_remember("kubeconfig"),
                 help="Speak to its server, as its user. Default: $RUNWRIGHT_KUBECONFIG."),
    click.option("-n", "--namespace", metavar="NAME", expose_value=False, callback=_remember("namespace_flag"),
                 shell_complete=_complete_namespace, help="The namespace. Default: default."),
)  # fmt: skip


def reaching(command: Command) -> Command:
    """Give a command the flags that say which server and namespace it speaks to."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


pass_connection = click.make_pass_decorator(Connection, ensure=True)
