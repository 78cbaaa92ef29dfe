# What a node does before it comes back to its cluster. To be sourced by redis.sh.
#
# What it is, it knows from nodes.conf on its volume. A replica that followed it takes over first.
# A new node, or one that lost its volume, comes as an empty master; the keeper gives it its place.
# Until then nobody may copy from it: its address is still that of the former master, and a
# replica of that one would exchange its data for the emptiness.
# shellcheck shell=sh disable=SC2016,SC2034,SC2154

myself() { awk '$3 ~ /myself/ '"$1"' {found = 1} END {exit !found}' "$DATA/nodes.conf" 2>/dev/null; }

if ! myself '&& $3 ~ /slave/'; then
    myself '&& NF > 8' || copies=off
    # shellcheck disable=SC2046 # two words
    set -- $(successor)
    if [ $# = 2 ]; then
        log "This pod was a master; $1:$2, which followed it, takes over."
        until_then=$(($(now) + 8))
        while [ "$(now)" -lt "$until_then" ]; do
            field role "$(cli "$1" "$2" INFO replication)"
            [ "$value" = slave ] || break
            # FORCE: without a word with the old master, but with the votes of the others.
            cli "$1" "$2" CLUSTER FAILOVER FORCE >/dev/null
            sleep 1
        done
        [ "${value:-}" = master ] || log "It does not: this one goes on."
    fi
fi
