"""The host's CA and the server's certificate, as files: made at the first start, renewed long before they end.

The CA's key and certificate are one file, put there in one step, so that no crash parts them. Invariant: a CA that
is there is never replaced: certificates that it gave would stop working; one that cannot be read stops the start.
"""

import logging
import os
import socket
import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from api.access import certificates
from api.access.certificates import Authority, BadCertificate
from api.errors import BadRequest
from controller.engine.clock import Clock
from controller.linux import disk

_log = logging.getLogger(__name__)
_CA, _SERVER = "ca.pem", "server.pem"
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME, for which Python has no name.
_ALWAYS = ("localhost", "127.0.0.1", "::1", "runwright")
_ANY = ("0.0.0.0", "::", "")
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # RFC 5737, RFC 3849: nobody's.


class AuthorityError(OSError):
    """The CA's files cannot be used; the message says what to do."""


class HostAuthority:
    """Implements `api.ports.CertificateAuthority`, and makes the server's side of TLS."""

    def __init__(
        self, directory: Path, clock: Clock, names: Sequence[str] = (), listen: tuple[str, int] | None = None
    ) -> None:
        """Keep files in `directory`; the server's certificate is for this host's names and addresses and `names`.

        Raises:
            AuthorityError: the CA cannot be made, or read.
        """
        self._directory = directory
        self._clock = clock
        self._listen = listen
        self._names = tuple(dict.fromkeys((*_ALWAYS, *_own_names(listen), *names)))
        self._context: ssl.SSLContext | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
            self._authority = self._load_or_make()
        except BadCertificate as error:
            fix = "restore it from a backup, or move it away to have a new one made, which no client knows"
            raise AuthorityError(f"cannot use the CA {directory / _CA}: {error}: {fix}") from error
        except OSError as error:
            raise AuthorityError(f"cannot use the CA {directory / _CA}: {error.strerror}") from error

    def certificate_pem(self) -> bytes:
        """Return the CA's own certificate."""
        return self._authority.certificate_pem()

    def server(self) -> str:
        """Return the URL of the TLS listener, empty if there is none."""
        if self._listen is None:
            return ""
        host, port = self._listen
        name = socket.gethostname() if host in _ANY else host
        return f"https://[{name}]:{port}" if ":" in name else f"https://{name}:{port}"

    def sign(self, request: bytes, user: str, groups: Sequence[str], expires: datetime) -> tuple[bytes, str]:
        """Return a client's certificate (PEM) and its serial number. Raises BadRequest."""
        now = self._clock.now()
        if expires <= now + timedelta(seconds=-1):
            raise BadRequest("cannot make a certificate: spec.expires is over")
        try:
            return certificates.client_certificate(self._authority, request, user, groups, now, expires)
        except BadCertificate as error:
            raise BadRequest(f"cannot make a certificate: spec.request: {error}") from error

    def context(self) -> ssl.SSLContext:
        """Return the server's side of TLS, which `renew` keeps good.

        Certificates of clients that another CA signed fail the handshake. That one of ours is over is for whoever
        authenticates to say, in words that a client understands.
        """
        if self._context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= _NO_CHECK_TIME
            context.load_verify_locations(cadata=self.certificate_pem().decode())
            context.set_alpn_protocols(["http/1.1"])
            self._load_server(context)
            self._context = context
        return self._context

    def renew(self) -> bool:
        """Have a new certificate of the server's if this one has little time left; return whether it was so.

        Connections that there are go on; the next ones see the new one.
        """
        if self._context is None or not self._needs_new(self._directory / _SERVER):
            return False
        self._load_server(self._context)
        _log.info("renewed the certificate of the API")
        return True

    def _load_server(self, context: ssl.SSLContext) -> None:
        path = self._directory / _SERVER
        if self._needs_new(path):
            _put(path, certificates.server_pem(self._authority, self._names, self._clock.now()))
        context.load_cert_chain(path)

    def _needs_new(self, path: Path) -> bool:
        try:
            pem = path.read_bytes()
            is_good = certificates.belongs(pem, self._authority) and set(self._names) <= certificates.server_names(pem)
            return not is_good or certificates.is_worn(pem, self._clock.now())
        except (FileNotFoundError, BadCertificate):
            return True

    def _load_or_make(self) -> Authority:
        path = self._directory / _CA
        try:
            return Authority.read(path.read_bytes())
        except FileNotFoundError:
            made = certificates.new_authority(f"runwright of {socket.gethostname()}", self._clock.now())
            _put(path, made.to_pem())
            return made


def _put(path: Path, content: bytes) -> None:
    """Put a secret file there whole, and on the disk."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    disk.sync_directory(path.parent)


def _own_names(listen: tuple[str, int] | None) -> list[str]:
    """Return the names and addresses that this host is reached by, as far as it knows them."""
    names = [name for name in (socket.gethostname(), socket.getfqdn()) if name]
    if listen is not None and listen[0] not in _ANY:
        names.append(listen[0])
    for family, nobody in _ELSEWHERE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:  # Connecting it sends nothing: it picks an address.
            try:
                probe.connect((nobody, 9))
                names.append(str(probe.getsockname()[0]))
            except OSError:
                continue
    return names
