"""A local server that misbehaves on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wlsc.datasets.registry import Retry

CONTENT = bytes(range(256)) * 400  # 102,400 bytes: several network reads
QUICK = Retry(rounds=3, wait=0.01, connect_timeout=2, read_timeout=2)

#: Gives up what is silent or slow, and leaves a good answer the time that it may take on a busy machine.
IMPATIENT = Retry(rounds=2, wait=0.01, read_timeout=1.5, minimum_rate=1e6)

Answer = Callable[[BaseHTTPRequestHandler], None]


def body(content: bytes, status: int = 200, claimed: int | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def without_length(content: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def drip(content: bytes, piece: int, pause: float) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for start in range(0, len(content), piece):
            handler.wfile.write(content[start : start + piece])
            handler.wfile.flush()
            if handler.server.closing.wait(pause):
                return

    return answer


def held(content: bytes, until: Callable[[], bool]) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        while not until() and not handler.server.closing.wait(0.01):
            pass
        body(content)(handler)

    return answer


def silence(handler: BaseHTTPRequestHandler) -> None:
    handler.server.closing.wait(60)


class Server:
    """Serve paths by lists of answers, one a request, the last one from then on."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, float]] = []
        self.encodings: set[str | None] = set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append((self.path, time.monotonic()))
                server.encodings.add(self.headers["Accept-Encoding"])
                answers = server.answers.get(self.path, [body(b"not found", 404)])
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                with suppress(ConnectionError):  # the client gave up, which is what some tests are about
                    answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def count(self, path: str) -> int:
        return sum(requested == path for requested, _ in self.requests)

    def close(self) -> None:
        self._http.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
