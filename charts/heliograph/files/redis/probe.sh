#!/bin/sh
# Probes: `alive` and `started` of a Redis, `ready` of a Redis, `sentinel` of a Sentinel.
#
# ready: a replica has its master's data and its link; a master of a cluster has slots. Pods are
# started all at once, so this holds up updates and evictions, never the start itself.
# shellcheck disable=SC1091,SC2154
. "${SCRIPTS:-/scripts}/common.sh"
[ -e "$RUN/peers" ] || exit 1 # it has not begun
read_self

case $1 in
    sentinel) [ "$(cli 127.0.0.1 "$self_second" PING)" = PONG ] ;;
    started) [ "$(here PING)" = PONG ] ;;
    alive)
        case $(here PING) in
            PONG | LOADING* | BUSY* | MASTERDOWN*) ;;
            *) exit 1 ;;
        esac
        ;;
    ready)
        info=$(here INFO replication)
        role=$(echo "$info" | field role)
        if [ "$role" = slave ]; then
            [ "$(echo "$info" | field master_link_status)" = up ] || exit 1
        else
            [ "$role" = master ] || exit 1
        fi
        [ "$MODE" = cluster ] || exit 0
        [ "$(here CLUSTER INFO | field cluster_state)" = ok ] || exit 1
        [ "$role" = slave ] ||
            here CLUSTER NODES | awk '$3 ~ /myself/ && NF > 8 {found = 1} END {exit !found}'
        ;;
esac
