#!/usr/bin/env bash
# NGINX 1.22.1 as a reverse proxy of server-sent events: `proxy_buffering on` holds nothing back. What
# holds a stream back is buffering together with gzip, and then until the stream ends.
#
# The usual advice for event streams behind NGINX is to switch buffering off, because it would keep
# events until a buffer is full. With buffering on, though, NGINX passes on what it has as soon as the
# upstream is silent, so an event arrives within milliseconds. Buffering only decides whether the chain
# of output filters is told to flush: off sets the flag, on does not. The gzip filter is one that waits
# for it. So with `gzip_types text/event-stream` and buffering on, a client gets nothing at all, not even
# the head of the response, before the last event. `X-Accel-Buffering: no` of the upstream mends it as
# `proxy_buffering off` does.
#
# What happens: an upstream sends six events, one each 0.3 s, and then nothing for a second. The
# table shows in how many reads the client got them, and how late the first byte was.
#
# Unpacks the pinned package of Debian 12 in a temporary directory, listens on loopback only (ten
# seconds). Fails when the behaviour changes.
set -euo pipefail
work=$(mktemp -d)
chmod 755 "$work"
upstream='' nginx=''
trap 'kill $upstream $nginx 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
apt-get download --quiet nginx=1.22.1-9+deb12u11 >/dev/null 2>&1 ||
  { echo "apt-get cannot download nginx 1.22.1-9+deb12u11: this needs Debian 12 and its package lists (apt-get update)" >&2; exit 1; }
dpkg-deb --extract nginx_*.deb root

cat >upstream.py <<'PY'
import http.server
import time


class Events(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        if "no-buffering" in self.path:
            self.send_header("X-Accel-Buffering", "no")
        self.end_headers()
        for number in range(6):
            event = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
            time.sleep(0.3)
        time.sleep(1)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Events)
print(server.server_address[1], flush=True)
server.serve_forever()
PY

cat >client.py <<'PY'
import socket
import sys
import time

port, path = int(sys.argv[1]), sys.argv[2]
client = socket.create_connection(("127.0.0.1", port))
client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n".encode())
begun, reads, first = time.monotonic(), 0, None
while client.recv(65536):
    reads += 1
    first = first or time.monotonic() - begun
print(reads, "at once" if first < 1 else "at the end")
PY

python3 upstream.py >port &
upstream=$!
until [[ -s port ]]; do sleep 0.05; done
to="http://127.0.0.1:$(cat port)"
listen=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
gzip='gzip on; gzip_proxied any; gzip_min_length 0; gzip_types text/event-stream;'
cat >nginx.conf <<CONF
daemon off;
pid $work/pid;
events {}
http {
  access_log off;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
  proxy_http_version 1.1;
  server {
    listen 127.0.0.1:$listen;
    location /off { proxy_pass $to; proxy_buffering off; }
    location /on { proxy_pass $to; proxy_buffering on; }
    location /gzip-off { proxy_pass $to; proxy_buffering off; $gzip }
    location /gzip-on { proxy_pass $to; proxy_buffering on; $gzip }
  }
}
CONF
root/usr/sbin/nginx -p "$work" -e "$work/errors" -c "$work/nginx.conf" &
nginx=$!
until [[ -s pid ]]; do sleep 0.05; done

root/usr/sbin/nginx -v
outcome=''
for path in /off /on /gzip-off /gzip-on /gzip-on/no-buffering; do
  read -r reads when < <(python3 client.py "$listen" "$path")
  printf '%-24s %2d reads, the first %s\n' "$path" "$reads" "$when"
  outcome+="$when;"
done
if [[ "$outcome" == 'at once;at once;at once;at the end;at once;' ]]; then
  echo "as described: only buffering together with gzip holds events back"
else
  echo "CHANGED"
  exit 1
fi
