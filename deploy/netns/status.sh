#!/bin/sh
# Show which nodes run, and the cluster as the first of them sees it.
set -eu
. "$(dirname "$0")/names.sh"

need_root
first=
for node in $(nodes); do
    if pid=$(pid_of "$node"); then
        first=${first:-$node}
        echo "$node  runs, pid $pid, log $(log_of "$node")"
    else
        echo "$node  does not run"
    fi
done
[ -n "$first" ] || exit 0
echo
logstream_on "$first" status
