#!/bin/sh
# End all nodes of the run at once and remove its machines, its bridge and its folder. Nothing to remove is no error.
set -eu
. "$(dirname "$0")/names.sh"

need_root
for space in $(ip netns list | cut -d' ' -f1 | grep -x -e "$HUB" -e "$RUN-n[0-9]*"); do
    for pid in $(ip netns pids "$space"); do kill -KILL "$pid" 2> /dev/null || true; done
    ip netns delete "$space"
done
rm -rf "$FOLDER"
