#!/bin/sh
# Start the nodes that do not run, all or the named ones, and wait until each is in a view: start-cluster.sh [NAME...]
# Nobody tells them an address: each finds the interface of its machine by itself.
set -eu
. "$(dirname "$0")/names.sh"

need_root
for node in "$@"; do need_node "$node"; done
started=
for node in ${*:-$(nodes)}; do
    if pid_of "$node" > /dev/null; then
        echo "$node  runs already"
        continue
    fi
    mkdir -p "$(dirname "$(log_of "$node")")"
    DETACHED="setsid --fork" logstream_on "$node" start --name "$node" < /dev/null >> "$(log_of "$node")" 2>&1
    started="$started $node"
done
for node in $started; do
    for _ in $(seq 150); do
        if grep -qs '"ready": true' "$(file_of "$node")" && pid=$(pid_of "$node"); then
            echo "$node  $(address_of "$node"):8001  pid $pid"
            continue 2
        fi
        [ -n "$(ip netns pids "$RUN-$node")" ] || break   # it has ended
        sleep 0.1
    done
    fail "node $node did not start, its log $(log_of "$node") ends with: $(tail -n 1 "$(log_of "$node")")"
done
