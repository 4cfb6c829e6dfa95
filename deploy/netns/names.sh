# shellcheck shell=sh
# What the scripts of this folder agree on; they read it, nobody runs it.
#
#   machine's own network          (nothing here touches it)
#   RUN-hub    bridge br0, 10.77.0.254
#     |  |  |
#   RUN-n1  RUN-n2  RUN-n3         eth0 with 10.77.0.1, .2, .3 and a default route: a machine each
#
# Every namespace stands for a machine, so each node has a state folder of its own. Two runs with different
# names do not see each other, although they use the same addresses.

RUN=${NETNS_RUN:-logstream}
FOLDER=${NETNS_FOLDER:-/tmp/logstream-netns-$RUN}
NETWORK=10.77.0
HUB=$RUN-hub
SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
unset NODE_ADDRESS LOGSTREAM_NODE_ADDRESS LOGSTREAM_NODE_INTERFACE   # the interface is found by itself here

fail() {
    echo "$(basename "$0"): $1" >&2
    exit 1
}

usage() {
    echo "$(basename "$0"): usage: $1" >&2
    exit 2
}

case $RUN in *[!A-Za-z0-9-]* | -*) usage "NETNS_RUN is '$RUN': letters, digits and hyphens make the name of a run" ;; esac

need_root() {
    [ "$(id -u)" = 0 ] || fail "network namespaces need root, run it with sudo"
    command -v ip > /dev/null || fail "the command ip is missing, install it (apt install iproute2)"
}

# The names of the nodes that were set up.
nodes() {
    [ -f "$FOLDER/nodes" ] || fail "run $RUN is not set up, call setup-netns.sh first"
    cat "$FOLDER/nodes"
}

need_node() {
    nodes | grep -qx "$1" || fail "there is no node $1 in run $RUN, there are: $(nodes | tr '\n' ' ')"
}

# A command on the machine of a node.
on() {
    machine=$1
    shift
    LOGSTREAM_HOME=$FOLDER/$machine LOGSTREAM_CLUSTER_NAME=$RUN \
        LOGSTREAM_CLUSTER_EXPECTED_NODES=${LOGSTREAM_CLUSTER_EXPECTED_NODES:-$(nodes | wc -l)} \
        ip netns exec "$RUN-$machine" "$@"
}

# logstream on the machine of a node: that of this checkout if it is set up, else the one that is installed.
logstream_on() {
    machine=$1
    shift
    if [ -x "$SOURCE/.venv/bin/python" ]; then
        set -- "$SOURCE/.venv/bin/python" "$SOURCE/logstream_cli.py" "$@"
    else
        command -v logstream > /dev/null || fail "no logstream found, run make demo in $SOURCE first, or install it"
        set -- logstream "$@"
    fi
    on "$machine" ${DETACHED:-} "$@"
}

address_of() {
    echo "$NETWORK.${1#n}"
}

# What a node says of itself while it lives, and what it logs: where other commands look for them, too.
file_of() {
    echo "$FOLDER/$1/$RUN/$1.node"
}

log_of() {
    echo "$FOLDER/$1/$RUN/logs/$1.log"
}

# The process of a node, from its own file; fails if it has none that lives.
pid_of() {
    pid=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' "$(file_of "$1")" 2> /dev/null)
    [ -n "$pid" ] && grep -qszx "LOGSTREAM_HOME=$FOLDER/$1" "/proc/$pid/environ" && echo "$pid"
}
