# Decides whether this pod is the master or whose replica: sets master_host and master_port.
# To be sourced by redis.sh.
#
# The Sentinels know; the one of a new pod says ordinal 0 in epoch 0, so the first pod becomes
# the first master without being asked for. More than half of them are waited for, because one
# that was away may not know of the last failover.
# shellcheck shell=sh disable=SC2154

: "${PATIENCE:=15}" # s: after that, fewer than half of the Sentinels will do

empty() { [ ! -d "$DATA/appendonlydir" ] && [ ! -f "$DATA/dump.rdb" ]; }

wait_for_sentinels() {
    began=$(now)
    while :; do
        ask_sentinels
        waited=$(($(now) - began))
        if [ "$answers" = 0 ]; then
            log "No Sentinel answers."
        elif [ "$failing_over" = yes ] && [ "$waited" -lt 30 ]; then
            log "A failover is under way."
        elif [ "$answers" -eq "$pods" ]; then
            return
        elif [ "$answers" -ge "$majority" ] && [ "$waited" -ge 3 ]; then
            return
        elif [ "$waited" -ge "$PATIENCE" ]; then
            log "Only $answers of $pods Sentinels answer: what they know has to do."
            return
        fi
        sleep 0.5
    done
}

# Whether another pod has data; waits until all have answered, or for a minute.
another_has_data() {
    until_then=$(($(now) + 60))
    while [ "$(now)" -lt "$until_then" ]; do
        asked=0
        while read -r ordinal host port _; do
            [ "$ordinal" != "$ORDINAL" ] || continue
            size=$(cli "$host" "$port" DBSIZE </dev/null)
            case $size in
                '' | *[!0-9]*) ;; # away, or still loading
                0) asked=$((asked + 1)) ;;
                *) return 0 ;;
            esac
        done <"$RUN/peers"
        [ "$asked" -lt "$((pods - 1))" ] || return 1
        log "This pod is the master, but has no data: waiting for what the others have."
        sleep 1
    done
    return 1
}

wait_for_sentinels
if is_self; then
    if empty; then
        # Without this its replicas would copy the emptiness.
        if another_has_data; then
            log "This pod lost its data: another becomes master."
            replace_self 15 || log "No other pod can be master."
        fi
    elif [ -n "$(successor)" ]; then
        log "This pod was the master; one that followed it takes over."
        replace_self 15 || log "No other pod can be master: this one goes on."
    fi
fi
if is_self; then
    log "This pod is the master (epoch $master_epoch)."
else
    log "The master is $master_host:$master_port (epoch $master_epoch)."
fi
