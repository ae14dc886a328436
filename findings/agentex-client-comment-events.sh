#!/usr/bin/env bash
# agentex-client 0.28.4 (PyPI) and server-sent events with a comment between two events.
#
# The HTML Standard, section 9.2.6, says of a stream: a line that begins with a colon is a comment and
# is ignored, and an empty line dispatches an event unless the data buffer is empty, in which case
# nothing is dispatched. Servers send ":<text>" followed by an empty line to keep a quiet connection
# open; it is the form of the example in section 9.2.8, and what axum's KeepAlive and many others send.
#
# What happens: once an event with an id was read, the client takes every empty line for the end of an
# event: the check for "nothing to dispatch" includes the last event id, which is kept from event to
# event, as the standard wants. A comment with an empty line after it becomes an event with empty data,
# json.decoder.JSONDecodeError is raised, and the iteration of the stream ends there. Without ids, or
# with a comment line that ends with one newline, all events are read.
#
# Installs the pinned package in a temporary directory; serves on the loopback interface. Fails when
# the behaviour changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check agentex-client==0.28.4
cat >"$work/probe.py" <<'PY'
import importlib.metadata
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from agentex import Agentex

FIRST = b'data: {"type": "connected"}\n\n'
FIRST_WITH_ID = b"id: 1\n" + FIRST
SECOND = b'data: {"type": "done"}\n\n'
STREAMS = {
    "ids, no comment": FIRST_WITH_ID + SECOND,
    "no ids, comment, empty line": FIRST + b": keep-alive\n\n" + SECOND,
    "ids, comment, one newline": FIRST_WITH_ID + b": keep-alive\n" + SECOND,
    "ids, comment, empty line": FIRST_WITH_ID + b": keep-alive\n\n" + SECOND,
}
EXPECTED = {
    "ids, no comment": "2 events",
    "no ids, comment, empty line": "2 events",
    "ids, comment, one newline": "2 events",
    "ids, comment, empty line": "1 event, then JSONDecodeError",
}
bodies = iter(STREAMS.values())


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = next(bodies)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = Agentex(base_url=f"http://127.0.0.1:{server.server_port}", api_key="unused", max_retries=0)
print("agentex-client", importlib.metadata.version("agentex-client"))
seen = {}
for name in STREAMS:
    events = 0
    try:
        for _ in client.tasks.stream_events("task"):
            events += 1
        end = ""
    except json.JSONDecodeError as error:
        end = f", then {type(error).__name__}"
    seen[name] = f"{events} event{'' if events == 1 else 's'}{end}"
    print(f"{name}: {seen[name]}")
server.shutdown()
assert seen == EXPECTED, f"the behaviour has changed: expected {EXPECTED}"
PY
"$work/venv/bin/python" "$work/probe.py"
