"""A judge on a real port: scores by length of the response, or answers whatever a test wants, and counts."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FakeJudge:
    """Attributes:
    content: what it answers in place of a score.
    status: of every answer.
    seconds: an answer takes.
    asked: how often each conversation and response was asked about; answered: how often an answer was written out.
    """

    content: str | None = None
    status: int = 200
    seconds: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def answer(self, body: bytes) -> tuple[str, bytes]:
        material = json.loads(body)["messages"][1]["content"]
        response = material.split("<response>\n")[1].split("\n</response>")[0]
        self.asked[material] += 1
        content = self.content if self.content is not None else json.dumps({"score": min(10, len(response))})
        return material, json.dumps({"choices": [{"message": {"content": content}}]}).encode()


@contextmanager
def serving(judge: FakeJudge) -> Iterator[FakeJudge]:
    """The judge at ``judge.url``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            question, answer = judge.answer(self.rfile.read(int(self.headers["content-length"])))
            time.sleep(judge.seconds)
            try:
                self.send_response(judge.status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                judge.answered[question] += 1
            except OSError:  # whoever asked was killed
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Whoever asked may be killed at any moment."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    judge.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield judge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
