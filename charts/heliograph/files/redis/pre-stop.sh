#!/bin/sh
# Before a Redis is stopped: if it is a master, a replica takes over in order. Writes wait
# meanwhile, so that nothing is confirmed that the successor does not get.
#
# At most 15 s. Where nobody can take over (all pods end at once) it gives up at once.
# shellcheck disable=SC1091,SC2154
. "${SCRIPTS:-/scripts}/common.sh"
[ -e "$RUN/peers" ] || exit 0 # it has not begun
read_self
mkdir -p "$RUN/stop" && cp "$RUN/peers" "$RUN/stop/peers" && RUN=$RUN/stop

is_master() { field role "$(here INFO replication)" && [ "$value" = master ]; }

in_step() { # "HOST PORT" of the replica that has most
    here INFO replication | tr -d '\r' | sed -n \
        's/^slave[0-9]*:ip=\([^,]*\),port=\([0-9]*\),state=online,offset=\([0-9]*\),.*/\3 \1 \2/p' |
        sort -rn | head -n 1 | cut -d ' ' -f 2,3
}

is_master || exit 0
# shellcheck disable=SC2046 # two words
set -- $(in_step)
[ $# = 2 ] || exit 0

if [ "$MODE" = sentinel ]; then
    here CLIENT PAUSE 12000 WRITE >/dev/null
    if replace_self 12; then
        # Otherwise it would go on as a master for the ten seconds until Sentinel corrects it.
        here REPLICAOF "$master_host" "$master_port" >/dev/null
    fi
    here CLIENT UNPAUSE >/dev/null
else
    cli "$1" "$2" CLUSTER FAILOVER >/dev/null
    until_then=$(($(now) + 10))
    while is_master && [ "$(now)" -lt "$until_then" ]; do sleep 0.2; done
fi
