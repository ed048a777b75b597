"""`POST /secrets-key/rotate`: all Secrets are put under a new key, while everything goes on."""

import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.errors import ServiceUnavailable
from api.http import answers
from api.http.feed import Threads
from api.ports import SecretsKey

log = logging.getLogger(__name__)
ROTATE_PATH = "/secrets-key/rotate"


class SecretsKeyPages:
    """Answers for the key of Secrets."""

    def __init__(self, key: SecretsKey | None, threads: Threads) -> None:
        """Rotate `key`, if there is one."""
        self._key = key
        self._threads = threads

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [Route(ROTATE_PATH, self._rotate, methods=["POST"])]

    async def _rotate(self, request: Request) -> Response:
        request.scope["runwright.asked"] = ("POST", "secrets-key")
        if self._key is None:
            raise ServiceUnavailable("cannot rotate the key of Secrets: this server keeps none")
        try:
            rows = await self._threads.call(self._key.rotate_key)
        except OSError as error:
            log.exception("cannot rotate the key of Secrets")
            raise ServiceUnavailable(f"cannot rotate the key of Secrets: {error}") from error
        return answers.answer({"texts": rows})
