"""The witness over HTTP: one address, `POST /add-checkpoint`. TLS is the proxy's business.

Requests need no login: "there is no authentication of requests beyond the validation of the
signature on the checkpoint". A slow or oversized request is dropped.
"""

import logging
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from registry.log.core import witness
from registry.log.witness.state import Witness

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 4 * witness.MAX_CHARACTERS
SECONDS: Final = 10


class Server(ThreadingHTTPServer):
    """Serves one witness until `shutdown()`."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], serving: Witness) -> None:
        self.witness = serving
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive, as the protocol asks for
    server_version = "kyodaku-witness"
    sys_version = ""
    timeout = SECONDS
    server: Server

    def do_POST(self) -> None:
        """Answer `add-checkpoint`; everything else does not exist."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BYTES:
            self.close_connection = True
            self._answer(413 if length.isdecimal() else 411, "", witness.TEXT_TYPE)
            return
        body = self.rfile.read(int(length))
        if self.path != "/add-checkpoint":
            self._answer(404, "", witness.TEXT_TYPE)
            return
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            self._answer(400, "not UTF-8\n", witness.TEXT_TYPE)
            return
        answer = self.server.witness.add_checkpoint(text, at=int(time.time()))
        if isinstance(answer, witness.Denial):
            self._answer(answer.status, answer.body, answer.content_type)
        else:
            self._answer(200, answer, witness.TEXT_TYPE)

    def _answer(self, status: int, body: str, content_type: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        logger.info("%s %s", self.address_string(), format % args)
