"""The API's door on this host, put together: who gets in, what is on record of it, and the sockets it listens on.

Never here: what the API answers with, which `manager.py` plugs in.
"""

from prometheus_client import CollectorRegistry

from api import quantity
from api.http.app import Surroundings, build_app
from api.http.authorization import Access
from api.http.load import Load
from api.http.server import ApiServer, Tls
from api.ports import SecretsKey
from controller.daemon.api_settings import split_listen
from controller.daemon.audit_file import AuditFiles
from controller.daemon.authority import HostAuthority
from controller.daemon.host_users import HostUsers
from controller.daemon.metrics import HttpMetrics
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings
from controller.engine.clock import Clock


class ApiHere:
    """Has the CA and the audit record, which others need too; the caller closes `audit`."""

    def __init__(self, settings: Settings, paths: Paths, clock: Clock) -> None:
        """Open what says who gets in; nothing listens yet."""
        api = settings.api
        listen = split_listen(api.listen) if api.listen else None
        self.authority = HostAuthority(paths.authority, clock, api.names, listen)
        size = quantity.to_bytes(api.audit_size)
        self.audit = AuditFiles(paths.audit_log, paths.audit_log_of_unknown, size, api.audit_files)
        self._socket = paths.api_socket
        self._users = HostUsers(api.socket_groups)
        if self._users.are_many:
            paths.run.chmod(0o711)  # For them to reach the socket; what else is in there is closed to them.
        self._tls = None if listen is None else Tls(*listen, self.authority.context())

    def server(
        self, surroundings: Surroundings, secrets: SecretsKey, metrics: CollectorRegistry, load: Load
    ) -> ApiServer:
        """Return the server, to be started, of what `surroundings` are."""
        access = Access(self._users.user, self.audit, self.authority, secrets)
        app = build_app(surroundings, HttpMetrics(metrics), access, load=load)
        return ApiServer(app, self._socket, self._tls, is_shared=self._users.are_many)
