#!/bin/sh
# Looks every INTERVAL seconds whether the pods have the roles that they should have, and each second
# while something is to be done.
# shellcheck disable=SC1091
. "${SCRIPTS:-/scripts}/common.sh"
trap 'exit 0' TERM
mkdir -p "$RUN" || exit 1
find_peers
case $MODE in
    sentinel) . "${SCRIPTS:-/scripts}/keeper-sentinel.sh" ;;
    cluster) . "${SCRIPTS:-/scripts}/keeper-cluster.sh" ;;
esac
pause=$INTERVAL
while :; do
    sleep "$pause" &
    wait $! # a signal interrupts this, not a sleep
    look
done
