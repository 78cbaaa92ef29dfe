#!/bin/sh
# Starts the Sentinel of a pod with what it knew before, or with what the others know.
#
# It always knows all pods by their announced addresses, and each Sentinel has an id that its
# ordinal decides: a majority is one of all Sentinels at any time, and none of a former life is
# counted. QUORUM, DOWN_AFTER and FAILOVER_TIMEOUT (ms) come from the chart.
#
# Until it has seen the master it is patient (COLD_DOWN_AFTER): when all pods start at once the master
# may take longer than the others, and what they have of its data may be older. The keeper sets
# DOWN_AFTER then.
# shellcheck disable=SC1091
. "${SCRIPTS:-/scripts}/common.sh"
trap 'exit 0' TERM

[ "${COLD_DOWN_AFTER:=20000}" -ge "$DOWN_AFTER" ] || COLD_DOWN_AFTER=$DOWN_AFTER
state=$DATA/sentinel
conf=$state/sentinel.conf
mkdir -p "$RUN" "$state" || exit 1
find_peers

# What was kept: "master HOST PORT" and epochs. Addresses of a former installation are translated
# by ordinal.
kept_master=$(awk '$1 == "sentinel" && $2 == "monitor" {print $4, $5}' "$conf" 2>/dev/null)
kept() { awk -v name="$1" '$1 == "sentinel" && $2 == name {print $NF; exit}' "$conf" 2>/dev/null; }
if [ -n "$kept_master" ]; then
    ordinal=$(awk -v at="$kept_master" '$2 " " $3 == at {print $1; exit}' "$state/peers" "$RUN/peers")
    master=$(awk -v ordinal="${ordinal:-0}" '$1 == ordinal {print $2, $3}' "$RUN/peers")
    config_epoch=$(kept config-epoch) leader_epoch=$(kept leader-epoch)
    current_epoch=$(kept current-epoch)
else
    # A new one: it asks the others, lest it stand for ordinal 0 against a later decision.
    ask_sentinels
    master="$master_host $master_port" config_epoch=$master_epoch
    [ -n "$config_epoch" ] || master=$(awk '$1 == 0 {print $2, $3}' "$RUN/peers")
fi
cp "$RUN/peers" "$state/peers"

id_of() { printf '%s' "$POD_PREFIX $1" | sha1sum | cut -d ' ' -f 1; } # ORDINAL
POD_PREFIX=${POD_NAMESPACE:-} POD_PREFIX=$POD_PREFIX/${POD_NAME%-*}

sentinel_users >"$RUN/users.acl"
{
    tls_options "$self_second"
    echo "dir $state"
    echo "aclfile $RUN/users.acl"
    echo "protected-mode no"
    echo "sentinel myid $(id_of "$ORDINAL")"
    echo "sentinel announce-ip $self_host"
    echo "sentinel announce-port $self_second"
    echo "sentinel resolve-hostnames $TLS"
    echo "sentinel announce-hostnames $TLS"
    echo "sentinel deny-scripts-reconfig yes"
    echo "sentinel sentinel-user sentinel"
    echo "sentinel sentinel-pass $(cat "$SECRETS/sentinel")"
    echo "sentinel monitor $MASTER_NAME $master $QUORUM"
    echo "sentinel auth-user $MASTER_NAME sentinel"
    echo "sentinel auth-pass $MASTER_NAME $(cat "$SECRETS/sentinel")"
    echo "sentinel down-after-milliseconds $MASTER_NAME $COLD_DOWN_AFTER"
    echo "sentinel failover-timeout $MASTER_NAME $FAILOVER_TIMEOUT"
    # After a failover all replicas follow at once: they catch up in part, which is short.
    echo "sentinel parallel-syncs $MASTER_NAME $pods"
    echo "sentinel config-epoch $MASTER_NAME ${config_epoch:-0}"
    echo "sentinel leader-epoch $MASTER_NAME ${leader_epoch:-0}"
    echo "sentinel current-epoch ${current_epoch:-${config_epoch:-0}}"
    while read -r ordinal host port second _; do
        [ "$host $port" = "$master" ] ||
            echo "sentinel known-replica $MASTER_NAME $host $port"
        [ "$ordinal" = "$ORDINAL" ] ||
            echo "sentinel known-sentinel $MASTER_NAME $host $second $(id_of "$ordinal")"
    done <"$RUN/peers"
} >"$conf.new"
mv "$conf.new" "$conf"
log "The master is ${master% *}:${master#* } (epoch ${config_epoch:-0})."
keep_quiet
exec redis-server "$conf" --sentinel
