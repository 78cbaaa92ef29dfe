#!/bin/sh
# Looks every INTERVAL seconds whether the pods have the roles that they should have, and each second
# while something is to be done.
# shellcheck disable=SC1091,SC2154
. "${SCRIPTS:-/scripts}/common.sh"
trap 'exit 0' TERM
mkdir -p "$RUN" || exit 1
find_peers
case $MODE in
    sentinel) . "${SCRIPTS:-/scripts}/keeper-sentinel.sh" ;;
    cluster) . "${SCRIPTS:-/scripts}/keeper-cluster.sh" ;;
esac

# Ends, once, the connections that others made while this pod was coming. Where a Service leads
# nowhere for a moment, a cluster answers with an ICMP error; Linux keeps it in the socket of whoever
# was connecting, and when the pod comes in time the connection is made with it. Event loops like
# those of Sentinel and Redis do not read it, and keep a core busy for as long as that connection
# lives. (That a pod listens late only, see the StatefulSet, avoids most of them.)
# Set before the loop: `none` once it is done.
answered=
renew_connections() {
    [ "$answered" != none ] || return 0
    if [ -z "$answered" ]; then
        [ "$(here PING)" = PONG ] && answered=$(now)
        return 0
    fi
    [ "$(($(now) - answered))" -ge "${RENEW_AFTER:-15}" ] || return 0
    answered=none
    printf 'CLIENT KILL TYPE %s\n' normal pubsub replica | here >/dev/null
    [ "$MODE" != sentinel ] ||
        printf 'CLIENT KILL TYPE %s\n' normal pubsub | cli 127.0.0.1 "$self_second" >/dev/null
    log "Connections that were made while this pod was coming are made anew."
}

pause=$INTERVAL
while :; do
    sleep "$pause" &
    wait $! # a signal interrupts this, not a sleep
    look
    renew_connections
done
