#!/bin/sh
# Probes of a Redis: `alive`, `ready`. Whether it has started, the kubelet sees at its port.
#
# ready: a replica has its master's data and its link; a master of a cluster has slots. Pods are
# started all at once, so this holds up updates and evictions, never the start itself.
# shellcheck disable=SC1091,SC2154
. "${SCRIPTS:-/scripts}/common.sh"
[ -e "$RUN/peers" ] || exit 1 # it has not begun
read_self

case $1 in
    alive)
        case $(here PING) in
            PONG | LOADING* | BUSY* | MASTERDOWN*) ;;
            *) exit 1 ;;
        esac
        ;;
    ready)
        said=$(printf 'INFO replication\nCLUSTER INFO\nCLUSTER NODES\n' | here)
        field role "$said"
        role=$value
        case $role in
            slave)
                field master_link_status "$said"
                [ "$value" = up ] || exit 1
                ;;
            master) ;;
            *) exit 1 ;;
        esac
        [ "$MODE" = cluster ] || exit 0
        # CLUSTER INFO begins with it, so it is not the first of its lines.
        case $said in *cluster_state:ok*) ;; *) exit 1 ;; esac
        [ "$role" = slave ] || echo "$said" | grep -q 'myself,master.* connected [0-9]'
        ;;
esac
