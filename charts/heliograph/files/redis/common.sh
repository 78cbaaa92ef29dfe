# What all scripts of Redis share: the pods and their addresses, questions, users. To be sourced.
#
# MODE       sentinel, cluster or standalone
# POD_NAME   ends with the ordinal of this pod
# PEERS      of all pods by ordinal, separated by spaces: NAME:PORT:PORT-OF-SENTINEL-OR-BUS
# NODE_NAME  the node that this pod runs on
# TLS        yes or no
# DATA       the volume; RUN, SECRETS, CONFIG, TLS_DIR: see the StatefulSet
#
# Limits: passwords consist of letters, digits, - and _, so nothing needs quoting.
# shellcheck shell=sh
set -u
umask 077
: "${MODE:?}" "${POD_NAME:?}" "${PEERS:?}" "${RUN:?}"
: "${DATA:=/data}" "${SECRETS:=/secrets}" "${CONFIG:=/config}" "${TLS_DIR:=/tls}" "${TLS:=no}"
: "${KEY_PREFIX:=heliograph}" "${MASTER_NAME:=heliograph}" "${NODE_NAME:=unknown}"
ORDINAL=${POD_NAME##*-}

log() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*" >&2; }

die() {
    log "$*"
    exit 1
}

now() { date +%s; }
began=$(now)

# Before it listens: QUIET_SECONDS after its start at the earliest (0 outside a cluster).
#
# While a pod is being made its Service has no endpoint, and a connection to it is rejected by an
# ICMP message. That comes back within connect(), and then Linux (since 5.18) only notes it in the
# socket's queue of errors and sends the SYN again a second later. Were it answered by then, the
# connection would stand with an error that nobody reads, and the event loops of Redis and libuv
# would wake up for it for ever: Sentinels spun at half a core each after any restart of a pod.
# Refused, it ends instead.
keep_quiet() {
    left=$((${QUIET_SECONDS:-0} - $(now) + began))
    [ "$left" -le 0 ] || sleep "$left"
}

# Writes $RUN/peers: "ORDINAL HOST PORT SECOND-PORT NAME" for each pod, and sets self_*.
#
# HOST is what a pod announces: the address of its own Service, which outlives the pod, so that
# nobody has to learn a new one when all pods end at once. Sentinels announce the Service's name
# when TLS is on, since certificates are for names; a cluster's bus knows addresses only.
find_peers() {
    names=
    for each in $PEERS; do names="$names ${each%%:*}"; done
    hosts=$names
    if [ "$MODE" != sentinel ] || [ "$TLS" = no ]; then
        # shellcheck disable=SC2086 # names
        until hosts=$(getent hosts $names); do
            log "Not all of these Services are known yet:$names"
            sleep 1
        done
        hosts=$(echo "$hosts" | awk '{print $1}')
    fi
    # shellcheck disable=SC2086 # addresses
    set -- $hosts
    ordinal=0
    for each in $PEERS; do
        ports=${each#*:}
        echo "$ordinal $1 ${ports%%:*} ${ports##*:} ${each%%:*}"
        ordinal=$((ordinal + 1))
        shift
    done >"$RUN/peers.new"
    mv "$RUN/peers.new" "$RUN/peers"
    read_self
}

read_self() {
    pods=0
    while read -r ordinal host port second name; do
        pods=$((pods + 1))
        [ "$ordinal" = "$ORDINAL" ] || continue
        self_host=$host self_port=$port self_second=$second self_name=$name
    done <"$RUN/peers"
    majority=$((pods / 2 + 1))
}

cli() ( # HOST PORT COMMAND…: as the user `keeper`, 2 s of patience
    host=$1 port=$2
    shift 2
    [ "$TLS" = no ] || set -- --tls --cacert "$TLS_DIR/ca.crt" "$@"
    # The password is in the environment: arguments can be read by everybody.
    IFS= read -r REDISCLI_AUTH <"$SECRETS/keeper" || [ -n "$REDISCLI_AUTH" ] || exit 1
    export REDISCLI_AUTH
    exec timeout 2 redis-cli --user keeper --no-auth-warning -h "$host" -p "$port" "$@" 2>/dev/null
)

here() { cli 127.0.0.1 "$self_port" "$@"; }

newline='
'
return=$(printf '\r')

# Probes and keepers run all the time on every node: what they read is taken apart here, without
# starting a process for each word.
field() { # NAME INFO: sets $value to the value that INFO has for NAME, or to nothing
    value=${2#*"$newline$1:"}
    [ "$value" != "$2" ] || value=
    value=${value%%"$newline"*}
    value=${value%"$return"}
}

# Whether another pod has followed this one in its present life: what this one confirmed last
# is there, though it may not have reached the disk here. Prints "HOST PORT" of the one that has
# read most.
successor() (
    best=-1
    while read -r ordinal host port _; do
        [ "$ordinal" != "$ORDINAL" ] || continue
        info=$(cli "$host" "$port" INFO replication </dev/null) || continue
        field role "$info"
        [ "$value" = slave ] || continue
        field master_host "$info"
        [ "$value" = "$self_host" ] || continue
        field master_port "$info"
        [ "$value" = "$self_port" ] || continue
        # -1: it has not had a link since it started, so its data may be of any age.
        field master_link_down_since_seconds "$info"
        [ "${value:-0}" -ge 0 ] || continue
        field slave_repl_offset "$info"
        if [ "${value:-0}" -gt "$best" ]; then
            best=$value
            echo "$host $port"
        fi
    done <"$RUN/peers" | tail -n 1
)

hash() { # USER: the hash of its password
    printf %s "$(cat "$SECRETS/$1")" | sha256sum | cut -d ' ' -f 1
}

# The users of a Redis. Each may do what it is for and no more; nobody comes in without a name.
# `default` is off and may do everything: in its name Redis reads its own file at the start, and
# leaves out every transaction that `default` may not do (redis/redis#14541), so all that functions
# have written.
redis_users() { # on or off: whether replicas may copy
    connect="+@connection -@dangerous"
    data="+@keyspace +@string +@hash +@list +@set +@sortedset +@transaction +@pubsub"
    data="$data -@dangerous -scan -randomkey -dbsize -move -pubsub"
    code="+eval +evalsha +script|load +script|exists +fcall +fcall_ro +function|load"
    cat <<USERS
user default off resetpass ~* &* +@all
user heliograph on #$(hash heliograph) ~$KEY_PREFIX:* resetchannels &$KEY_PREFIX:* -@all $connect $data $code +time +info +wait +command +cluster|nodes +cluster|slots +cluster|shards +cluster|myid
user replication $1 #$(hash replication) resetchannels -@all +psync +replconf +ping
user sentinel on #$(hash sentinel) resetchannels &* -@all +auth +hello +ping +info +role +multi +exec +subscribe +publish +replicaof +slaveof +config|rewrite +client|setname +client|kill +script|kill
user keeper on #$(hash keeper) resetchannels -@all $connect +info +role +dbsize +replicaof +client|pause +client|unpause +client|kill +cluster|nodes +cluster|info +cluster|meet +cluster|forget +cluster|replicate +cluster|failover +cluster|addslotsrange +acl|load
user exporter on #$(hash exporter) resetchannels -@all $connect +info +dbsize +slowlog|get +slowlog|len +latency|latest +latency|histogram +cluster|info
USERS
}

# The users of a Sentinel. `default` is for clients of the app: they may ask and listen.
sentinel_users() {
    cat <<USERS
user default on #$(hash sentinel-clients) resetchannels &* -@all +@connection -@dangerous +subscribe +psubscribe +unsubscribe +punsubscribe +info +role +sentinel|masters +sentinel|master +sentinel|replicas +sentinel|slaves +sentinel|sentinels +sentinel|get-master-addr-by-name +sentinel|ckquorum
user sentinel on #$(hash sentinel) resetchannels &* -@all +@connection -@dangerous +publish +sentinel|is-master-down-by-addr
user keeper on #$(hash keeper) resetchannels -@all +@connection -@dangerous +client|kill +sentinel|master +sentinel|failover +sentinel|set
USERS
}

tls_options() { # PORT: options of a Redis or Sentinel that listens there
    if [ "$TLS" = no ]; then
        echo "port $1"
        return
    fi
    cat <<OPTIONS
port 0
tls-port $1
tls-cert-file $TLS_DIR/tls.crt
tls-key-file $TLS_DIR/tls.key
tls-ca-cert-file $TLS_DIR/ca.crt
tls-auth-clients no
tls-replication yes
OPTIONS
}

# -- Sentinel ---------------------------------------------------------------------------------

sentinel_view() { # HOST PORT: "EPOCH HOST PORT FLAGS DOWN-AFTER" if it knows the master
    cli "$1" "$2" SENTINEL MASTER "$MASTER_NAME" </dev/null | awk '
        NR % 2 {name = $0; next}
        {told[name] = $0}
        END {
            if ("config-epoch" in told)
                print told["config-epoch"], told["ip"], told["port"], told["flags"],
                    told["down-after-milliseconds"]
        }'
}

# Asks all Sentinels at once and writes $RUN/views: a line for each that knows the
# master. The highest epoch is the latest decision.
ask_sentinels() {
    rm -f "$RUN"/view.*
    while read -r ordinal host _ port _; do
        # Its own Sentinel is asked without the detour over the Service.
        [ "$ordinal" != "$ORDINAL" ] || host=127.0.0.1
        sentinel_view "$host" "$port" >"$RUN/view.$ordinal" &
    done <"$RUN/peers"
    wait
    cat "$RUN"/view.* | sort -rn >"$RUN/views"
    answers=$(wc -l <"$RUN/views")
    # shellcheck disable=SC2046 # five words
    set -- $(head -n 1 "$RUN/views")
    master_epoch=${1:-} master_host=${2:-} master_port=${3:-}
    failing_over=no
    ! grep -q failover_in_progress "$RUN/views" || failing_over=yes
}

is_self() { [ "$master_host:$master_port" = "$self_host:$self_port" ]; }

# Has the Sentinels replace this master. Succeeds when they name another, within SECONDS.
replace_self() { # SECONDS
    until_then=$(($(now) + $1))
    asked=0
    while [ "$(now)" -lt "$until_then" ]; do
        # One of them is asked: two failovers at a time would disturb each other.
        if [ "$(($(now) - asked))" -ge 6 ] && start_failover; then asked=$(now); fi
        ask_sentinels
        if [ "$answers" -gt 0 ] && [ "$failing_over" = no ] && ! is_self; then return 0; fi
        sleep 0.3
    done
    return 1
}

start_failover() {
    while read -r ordinal host _ port _; do
        # Its own Sentinel last: it ends with this pod.
        [ "$ordinal" != "$ORDINAL" ] || continue
        case $(cli "$host" "$port" SENTINEL FAILOVER "$MASTER_NAME" </dev/null) in
            OK* | INPROG*) return 0 ;;
        esac
    done <"$RUN/peers"
    case $(cli 127.0.0.1 "$self_second" SENTINEL FAILOVER "$MASTER_NAME") in
        OK* | INPROG*) return 0 ;;
    esac
    return 1
}
