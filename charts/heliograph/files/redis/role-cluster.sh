# Before a master of a cluster comes back: a replica that followed it takes over. To be sourced
# by redis.sh. What the node is it knows from nodes.conf, on its volume; a new one joins as an
# empty master, and the keeper gives it its place.
# shellcheck shell=sh disable=SC2154

if awk '$3 ~ /myself/ && $3 ~ /master/ && NF > 8 {found = 1} END {exit !found}' \
    "$DATA/nodes.conf" 2>/dev/null; then
    # shellcheck disable=SC2046 # two words
    set -- $(successor)
    if [ $# = 2 ]; then
        log "This pod was a master; $1:$2, which followed it, takes over."
        until_then=$(($(now) + 8))
        while [ "$(now)" -lt "$until_then" ]; do
            role=$(cli "$1" "$2" INFO replication | field role)
            [ "$role" = slave ] || break
            # FORCE: without a word with the old master, but with the votes of the others.
            cli "$1" "$2" CLUSTER FAILOVER FORCE >/dev/null
            sleep 1
        done
        [ "${role:-}" = master ] || log "It does not: this one goes on."
    fi
fi
