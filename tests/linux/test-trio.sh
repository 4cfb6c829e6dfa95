#!/bin/sh
# Three nodes on three machines: they form, take records, give them back, lose their leader and give them back again.
#
#   test-trio.sh local      machines are network namespaces (needs root and iproute2)
#   test-trio.sh docker     later
#   test-trio.sh vagrant    later
#
# The last line is OK, or says what went wrong. Nothing is left behind either way.
set -eu

case ${1:-} in
    local) ;;
    docker | vagrant)
        echo "test-trio.sh: the mode $1 comes later, use: test-trio.sh local" >&2
        exit 2
        ;;
    *)
        echo "test-trio.sh: usage: test-trio.sh local|docker|vagrant" >&2
        exit 2
        ;;
esac

[ "$(id -u)" = 0 ] || { echo "test-trio.sh: network namespaces need root, run it with sudo" >&2 && exit 1; }
NETNS=$(cd "$(dirname "$0")/../../deploy/netns" && pwd)
export NETNS_RUN="trio-$$"
WORK=$(mktemp -d)
trap '"$NETNS/cleanup-netns.sh" || true; rm -rf "$WORK"' EXIT
trap 'exit 1' HUP INT TERM

step() {
    echo "--- $1"
}

failed() {
    echo "test-trio.sh: $1" >&2
    exit 1
}

status_of() {
    "$NETNS/on-node.sh" "$1" status --json > "$WORK/status" 2> "$WORK/problem"
}

# Wait until as many are members as NAME says, at most some 10 s.
wait_for() {
    name=$1
    wanted=$2
    for _ in $(seq 20); do
        if status_of "$name" && [ "$(grep -c '"role":' "$WORK/status")" = "$wanted" ] && leader > /dev/null; then
            return
        fi
    done
    cat "$WORK/problem" >&2
    failed "$name does not see $wanted members"
}

leader() {
    sed -n 's/^ *"leader": "\(.*\)",$/\1/p' "$WORK/status" | grep .
}

same() {
    "$NETNS/on-node.sh" "$1" consumer lines > "$WORK/out"
    cmp "$2" "$WORK/out" || failed "what $1 gives back is not what was sent"
}

step "three machines"
"$NETNS/setup-netns.sh" 3
step "three nodes, which find their interfaces and each other"
"$NETNS/start-cluster.sh"
wait_for n1 3
step "1000 records in at n1, out at n3"
seq 1000 > "$WORK/first"
"$NETNS/on-node.sh" n1 producer lines "$WORK/first"
same n3 "$WORK/first"
killed=$(leader)
survivor=$([ "$killed" = n1 ] && echo n2 || echo n1)
step "kill -9 of the leader, $killed"
"$NETNS/fault.sh" kill "$killed"
wait_for "$survivor" 2
step "more in at $survivor, and everything out"
seq 1001 1100 > "$WORK/more"
"$NETNS/on-node.sh" "$survivor" producer lines "$WORK/more"
cat "$WORK/first" "$WORK/more" > "$WORK/both"
same "$survivor" "$WORK/both"
step "remove everything"
"$NETNS/cleanup-netns.sh"
echo OK
