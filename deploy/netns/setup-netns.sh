#!/bin/sh
# Make N machines (default 3) out of network namespaces, joined by a bridge: setup-netns.sh [N]
# Needs root and iproute2. NETNS_RUN names the run, so that several fit on one machine.
set -eu
. "$(dirname "$0")/names.sh"

count=${1:-3}
case $count in '' | *[!0-9]*) usage "setup-netns.sh [N], with N from 1 to 100" ;; esac
[ "$count" -ge 1 ] && [ "$count" -le 100 ] || usage "setup-netns.sh [N], with N from 1 to 100"
need_root
[ ! -e "$FOLDER" ] || fail "run $RUN is there already ($FOLDER), call cleanup-netns.sh first or set NETNS_RUN"
ip netns add "$HUB" || fail "cannot make network namespaces here (in a container it takes --privileged)"
mkdir -p "$FOLDER"
trap '[ $? = 0 ] || "$(dirname "$0")/cleanup-netns.sh"' EXIT

ip -n "$HUB" link add br0 type bridge mcast_snooping 0   # without snooping multicast reaches every port
ip -n "$HUB" address add "$NETWORK.254/24" dev br0
ip -n "$HUB" link set br0 up
for number in $(seq "$count"); do
    node=n$number
    space=$RUN-$node
    ip netns add "$space"
    echo "$node" >> "$FOLDER/nodes"
    mkdir "$FOLDER/$node"
    ip -n "$space" link set lo up
    ip -n "$HUB" link add "to-$node" type veth peer name eth0 netns "$space"
    ip -n "$HUB" link set "to-$node" master br0 up
    ip -n "$space" address add "$NETWORK.$number/24" broadcast "$NETWORK.255" dev eth0
    ip -n "$space" link set eth0 up
    ip -n "$space" route add default via "$NETWORK.254"
    echo "$node  $NETWORK.$number  namespace $space"
done
