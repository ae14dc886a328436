"""Records every action and rejects none.

Like the books of a bank, the ledger shows whether money moved once or twice,
independently of the program that moved it.

    POST /effects  any JSON object; the ledger stores it with a number
    GET  /effects  all stored objects, oldest first
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

EFFECTS: list[dict[str, Any]] = []
LOCK = Lock()


class Ledger(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/effects":
            with LOCK:
                self.answer(200, list(EFFECTS))
        else:
            self.answer(200 if self.path == "/healthz" else 404, {})

    def do_POST(self) -> None:
        effect = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        with LOCK:
            effect["number"] = len(EFFECTS) + 1
            EFFECTS.append(effect)
        print(json.dumps(effect), flush=True)
        self.answer(200, effect)

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs no requests, because the log contains the stored objects."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Ledger).serve_forever()
