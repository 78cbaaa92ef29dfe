# Mends what Sentinel takes long to correct, or does not see: a second master, and a replica that
# the Sentinels hold for the master. To be sourced by keeper.sh.
#
# Its own Sentinel is asked each time; the others only when that disagrees with what this pod is.
# It acts when all that answer, more than half, have said the same three times, and no failover is
# under way.
#
# Besides it tells its own Sentinel to be quick (DOWN_AFTER) once that has seen the master.
# shellcheck shell=sh disable=SC2154

wrong=0

look() {
    info=$(here INFO replication)
    field role "$info"
    role=$value
    field master_host "$info"
    follows=$value
    field master_port "$info"
    follows=$follows:$value
    hurry
    if [ -z "$role" ] || agrees; then
        wrong=0
        return
    fi
    ask_sentinels
    if [ "$answers" -lt "$majority" ] || [ "$failing_over" = yes ] ||
        [ "$(cut -d ' ' -f 2,3 "$RUN/views" | sort -u | wc -l)" != 1 ] || agrees; then
        wrong=0
        return
    fi
    wrong=$((wrong + 1))
    [ "$wrong" -ge 3 ] || return
    wrong=0
    mend
}

agrees() { # whether this pod is what the Sentinels say
    if is_self; then [ "$role" = master ]; else [ "$follows" = "$master_host:$master_port" ]; fi
}

hurry() {
    # shellcheck disable=SC2046 # five words
    set -- $(sentinel_view 127.0.0.1 "$self_second")
    master_host=${2:-} master_port=${3:-}
    if [ "${4:-}" = master ] && [ "$5" != "$DOWN_AFTER" ]; then
        cli 127.0.0.1 "$self_second" \
            SENTINEL SET "$MASTER_NAME" down-after-milliseconds "$DOWN_AFTER" >/dev/null
    fi
}

role_of() { # HOST PORT
    field role "$(cli "$1" "$2" INFO replication </dev/null)"
    echo "$value"
}

mend() {
    if is_self; then
        while read -r ordinal host port _; do
            # Two masters would be worse than none: that one is to be demoted first.
            [ "$ordinal" = "$ORDINAL" ] || [ "$(role_of "$host" "$port")" != master ] || return
        done <"$RUN/peers"
        log "The Sentinels name this pod as the master, and no other is: it becomes one."
        here REPLICAOF NO ONE >/dev/null
    elif [ "$(role_of "$master_host" "$master_port")" = master ]; then
        log "The master is $master_host:$master_port; this pod, $role of '$follows', follows it now."
        here REPLICAOF "$master_host" "$master_port" >/dev/null
    fi
}
