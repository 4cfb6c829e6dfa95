#!/bin/sh
# Make something fail, and mend it. A node is killed or paused; its network is cut, one-way, lossy or behind a firewall.
set -eu
. "$(dirname "$0")/names.sh"

how() {
    cat >&2 << 'END'
fault.sh: usage:
  fault.sh cut NAME               pull its cable
  fault.sh cut NAME OTHER         these two do not reach each other, others do
  fault.sh one-way NAME in|out    it hears nobody, or nobody hears it
  fault.sh loss NAME PERCENT      so much of what it hears is lost
  fault.sh block NAME udp|tcp PORT   a firewall on it drops what comes to this port
  fault.sh heal [NAME]            network of one node, or of all, as it was
  fault.sh kill NAME              kill -9; start-cluster.sh brings it back
  fault.sh pause NAME             SIGSTOP
  fault.sh resume NAME            SIGCONT
END
    exit 2
}

rule() {
    command -v iptables > /dev/null || fail "this fault needs iptables, install it (apt install iptables)"
    space=$RUN-$1
    shift
    ip netns exec "$space" iptables -w "$@"
}

heal() {
    ip -n "$HUB" link set "to-$1" up
    if command -v iptables > /dev/null; then rule "$1" -F; fi
}

tell() {
    pid=$(pid_of "$2") || fail "node $2 does not run"
    kill "-$1" "$pid"
}

what=${1:-}
name=${2:-}
need_root
case $#:$what in
    1:heal) for name in $(nodes); do heal "$name"; done && exit 0 ;;
    0:* | 1:*) how ;;
esac
need_node "$name"
case $#:$what in
    2:heal) heal "$name" ;;
    2:cut) ip -n "$HUB" link set "to-$name" down ;;
    3:cut)
        need_node "$3"
        rule "$name" -A INPUT -s "$(address_of "$3")" -j DROP
        rule "$3" -A INPUT -s "$(address_of "$name")" -j DROP
        ;;
    3:one-way)
        case $3 in
            in) rule "$name" -A INPUT -i eth0 -j DROP ;;
            out) rule "$name" -A OUTPUT -o eth0 -j DROP ;;
            *) how ;;
        esac
        ;;
    3:loss)
        case $3 in '' | *[!0-9]*) how ;; esac
        [ "$3" -le 100 ] || how
        share=$(awk "BEGIN { print $3 / 100 }")
        rule "$name" -A INPUT -i eth0 -m statistic --mode random --probability "$share" -j DROP
        ;;
    4:block)
        case $3 in udp | tcp) ;; *) how ;; esac
        case $4 in '' | *[!0-9]*) how ;; esac
        rule "$name" -A INPUT -i eth0 -p "$3" --dport "$4" -j DROP
        ;;
    2:kill) tell KILL "$name" ;;
    2:pause) tell STOP "$name" ;;
    2:resume) tell CONT "$name" ;;
    *) how ;;
esac
