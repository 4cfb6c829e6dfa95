#!/bin/sh
# Stop nodes cleanly, all or the named ones; the machines stay: stop.sh [NAME...]
set -eu
. "$(dirname "$0")/names.sh"

need_root
for node in "$@"; do need_node "$node"; done
stopping=
for node in ${*:-$(nodes)}; do
    if pid=$(pid_of "$node"); then
        kill -TERM "$pid"
        stopping="$stopping $node"
    fi
done
for node in $stopping; do
    for _ in $(seq 50); do
        pid_of "$node" > /dev/null || { echo "$node  stopped" && continue 2; }
        sleep 0.1
    done
    fail "node $node did not stop within 5 s, see $(log_of "$node"), or end it with fault.sh kill $node"
done
