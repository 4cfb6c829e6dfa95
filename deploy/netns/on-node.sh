#!/bin/sh
# Use logstream as if on the machine of a node: on-node.sh NAME COMMAND..., as in on-node.sh n1 status
set -eu
. "$(dirname "$0")/names.sh"

[ $# -ge 2 ] || usage "on-node.sh NAME COMMAND..., as in on-node.sh n1 status"
need_root
need_node "$1"
node=$1
shift
logstream_on "$node" "$@"
