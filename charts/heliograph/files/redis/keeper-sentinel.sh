# Mends what Sentinel takes long to correct, or does not see: a second master, and a replica that
# the Sentinels hold for the master. To be sourced by keeper.sh.
#
# It acts when all Sentinels that answer, more than half, have said the same three times, and no
# failover is under way.
# shellcheck shell=sh disable=SC2154

wrong=0

look() {
    info=$(here INFO replication)
    role=$(echo "$info" | field role)
    ask_sentinels
    hurry
    if [ -z "$role" ] || [ "$answers" -lt "$majority" ] || [ "$failing_over" = yes ] ||
        [ "$(cut -d ' ' -f 2,3 "$RUN/views" | sort -u | wc -l)" != 1 ]; then
        wrong=0
        return
    fi
    if is_self; then
        wish=master
        have=$role
    else
        wish="$master_host:$master_port"
        have="$(echo "$info" | field master_host):$(echo "$info" | field master_port)"
    fi
    if [ "$wish" = "$have" ]; then
        wrong=0
        return
    fi
    wrong=$((wrong + 1))
    [ "$wrong" -ge 3 ] || return
    wrong=0
    mend
}

role_of() { cli "$1" "$2" INFO replication </dev/null | field role; } # HOST PORT

mend() {
    if [ "$wish" = master ]; then
        while read -r ordinal host port _; do
            # Two masters would be worse than none: that one is to be demoted first.
            [ "$ordinal" = "$ORDINAL" ] || [ "$(role_of "$host" "$port")" != master ] || return
        done <"$RUN/peers"
        log "The Sentinels name this pod as the master, and no other is: it becomes one."
        here REPLICAOF NO ONE >/dev/null
    elif [ "$(role_of "$master_host" "$master_port")" = master ]; then
        log "The master is $wish, this pod follows '$have': it follows the master now."
        here REPLICAOF "$master_host" "$master_port" >/dev/null
    fi
}

hurry() {
    # shellcheck disable=SC2046 # five words
    set -- $(cat "$RUN/view.$ORDINAL")
    if [ "${4:-}" = master ] && [ "$5" != "$DOWN_AFTER" ]; then
        cli 127.0.0.1 "$self_second" \
            SENTINEL SET "$MASTER_NAME" down-after-milliseconds "$DOWN_AFTER" >/dev/null
    fi
}
