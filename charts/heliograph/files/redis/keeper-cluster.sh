# Forms a cluster, brings in pods that lost their volume, and moves masters apart when they have
# gathered on one node. To be sourced by keeper.sh.
#
# Each lets replicas copy from its own node once that has a place (role-cluster.sh). For the rest
# the lowest ordinal that answers acts. Each look compares what is with what should be (plan.awk)
# and does the next step, so it does not matter where it was interrupted. REBALANCE: seconds that
# all must have been well before something is moved only for its place; 0: never.
# shellcheck shell=sh disable=SC2154

well_since=

look() {
    [ ! -s "${RUN%/*}/redis/users.acl" ] || open_copies
    # Whoever has a lower ordinal, and answers, acts.
    while read -r ordinal host port _; do
        [ "$ordinal" != "$ORDINAL" ] || break
        [ "$(cli "$host" "$port" PING </dev/null)" != PONG ] || return
    done <"$RUN/peers"
    rm -f "$RUN"/node.*
    while read -r ordinal host port _; do
        [ "$ordinal" != "$ORDINAL" ] || host=127.0.0.1
        printf 'CLUSTER NODES\nINFO server\nINFO replication\n' |
            cli "$host" "$port" | tr -d '\r' >"$RUN/node.$ordinal" &
    done <"$RUN/peers"
    wait
    for each in "$RUN"/node.*; do
        grep -q '^role:' "$each" || rm "$each"
    done
    [ -e "$RUN/node.$ORDINAL" ] || return

    place=no
    if [ "$REBALANCE" -gt 0 ] && [ -n "$well_since" ] &&
        [ "$(($(now) - well_since))" -ge "$REBALANCE" ]; then
        place=yes
    fi
    awk -v masters="$MASTERS" -v place=$place -f "${SCRIPTS:-/scripts}/plan.awk" \
        "$RUN/peers" "$RUN"/node.* >"$RUN/plan"
    pause=$INTERVAL
    grep -q -e '^well' -e '^wait' "$RUN/plan" || pause=1
    if grep -q '^well' "$RUN/plan"; then
        well_since=${well_since:-$(now)}
    else
        well_since=
    fi
    grep -v '^well' "$RUN/plan" | while read -r step; do
        # shellcheck disable=SC2086 # words
        take $step
    done
}

open_copies() {
    acl=${RUN%/*}/redis/users.acl
    while read -r _ user state _; do
        [ "$user" != replication ] || break
    done <"$acl" || return
    [ "$state" = off ] || return
    # Slots, or the data of a master.
    printf 'CLUSTER NODES\nINFO replication\n' | here |
        grep -q -e 'myself,master.* connected [0-9]' -e '^master_link_status:up' || return
    redis_users on >"$acl.new"
    mv "$acl.new" "$acl"
    log "This node has its place, replicas may copy from it: $(here ACL LOAD)"
}

at() ( # ORDINAL COMMAND…
    # shellcheck disable=SC2046 # two words
    set -- $(awk -v ordinal="$1" '$1 == ordinal {print $2, $3}' "$RUN/peers") "$@"
    host=$1 port=$2
    shift 3
    reply=$(cli "$host" "$port" "$@" </dev/null)
    log "$host:$port $*: ${reply:-no answer}"
)

take() { # a step of plan.awk
    case $1 in
        wait) ;;
        meet)
            # shellcheck disable=SC2046 # three words
            at "$2" CLUSTER MEET $(awk -v ordinal="$3" '$1 == ordinal {print $2, $3, $4}' "$RUN/peers")
            ;;
        forget) at "$2" CLUSTER FORGET "$3" ;;
        takeover) at "$2" CLUSTER FAILOVER TAKEOVER ;;
        slots) at "$2" CLUSTER ADDSLOTSRANGE "$3" "$4" ;;
        replicate) at "$2" CLUSTER REPLICATE "$3" ;;
        failover) at "$2" CLUSTER FAILOVER ;;
    esac
}
