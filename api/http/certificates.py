"""The pages of the host's CA: its certificate, and new ones for clients.

A Certificate that is POSTed carries a request; what is stored, and answered, carries the certificate. It counts while
the object is there, so that deleting it revokes it.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.errors import BadRequest, ServiceUnavailable
from api.http import answers, requests
from api.http.feed import Threads
from api.kinds import CERTIFICATE
from api.meta import Document, read_time
from api.objects import admission
from api.objects.verbs import Verbs, WriteOptions, Written
from api.ports import CertificateAuthority

_PATH = f"/apis/{CERTIFICATE.group}/{CERTIFICATE.version}/{CERTIFICATE.plural}"
CA_PATH = "/ca"


class CertificatePages:
    """Answers for the CA."""

    def __init__(self, verbs: Verbs, authority: CertificateAuthority | None, threads: Threads) -> None:
        """Sign with `authority`; without one nothing is signed."""
        self._verbs = verbs
        self._authority = authority
        self._threads = threads

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [Route(_PATH, self._issue, methods=["POST"]), Route(CA_PATH, self._show)]

    async def _show(self, _request: Request) -> Response:
        authority = self._have()
        return answers.answer({"certificate": authority.certificate_pem().decode(), "server": authority.server()})

    async def _issue(self, request: Request) -> Response:
        options = requests.write_options(request)
        document = requests.read_object(await requests.small_body_of(request), requests.media_type(request))
        written = await self._threads.call(self._signed, document, options)
        return answers.answer(written.document, 201, written.warnings)

    def _signed(self, document: object, options: WriteOptions) -> Written:
        received = admission.receive(CERTIFICATE, document, "", options)
        wanted = received.document | {"metadata": received.document["metadata"] | {"name": "new"}}
        admission.validate(CERTIFICATE, wanted)
        options.admit(CERTIFICATE, None, wanted)  # Before a key is used, and again when it is stored.
        spec: Document = wanted["spec"]
        if not spec.get("request"):
            raise BadRequest("cannot make a certificate: spec.request is missing: put a PEM certificate request there")
        pem, serial = self._have().sign(
            str(spec["request"]).encode(), spec["user"], spec.get("groups") or (), read_time(spec["expires"])
        )
        kept = {name: value for name, value in spec.items() if name != "request"} | {"certificate": pem.decode()}
        metadata = {name: value for name, value in received.document["metadata"].items() if name != "generateName"}
        issued = wanted | {"metadata": metadata | {"name": serial}, "spec": kept}
        return self._verbs.create(CERTIFICATE, "", issued, options)

    def _have(self) -> CertificateAuthority:
        if self._authority is None:
            raise ServiceUnavailable("cannot use the CA of this host: it has none")
        return self._authority
