"""A ledger that records every effect and rejects none: `ledger.py PORT`.

POST /        records an effect; while held, the response waits for /release
GET  /effects all effects, in the order of arrival
POST /hold    holds all later responses
POST /release sends the held responses
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

effects = []
released = threading.Event()
released.set()


class Ledger(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(effects)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        match self.path:
            case "/hold":
                released.clear()
            case "/release":
                released.set()
            case _:
                effects.append(json.loads(body))
                released.wait()
        self.answer({})

    def answer(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Ledger).serve_forever()
