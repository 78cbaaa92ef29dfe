#!/bin/sh
# Starts the Redis of a pod: decides what it is to be, writes its configuration and becomes it.
#
# Guarantee: a master that comes back does not go on as one while another pod has what it
# confirmed: the append-only file may lack the last two seconds. That pod takes over first.
# shellcheck disable=SC1091
. "${SCRIPTS:-/scripts}/common.sh"
trap 'exit 0' TERM # the first process of a container gets no signal that it does not handle

mkdir -p "$RUN" || exit 1
touch "$DATA/.lock" || die "$DATA cannot be written to by $(id -u): use a storage class whose \
volumes honour fsGroup, or are writable by anybody."
# A pod deleted by force is replaced while its processes still run, and the volume can be
# mounted twice on one node: two servers must not append to one file.
exec 9>"$DATA/.lock"
if command -v flock >/dev/null; then
    flock -w 60 9 || die "$DATA is in use by another process."
fi
find_peers

copies=on
case $MODE in
    sentinel) . "${SCRIPTS:-/scripts}/role-sentinel.sh" ;;
    cluster) . "${SCRIPTS:-/scripts}/role-cluster.sh" ;;
esac

# The name of the node is in the path of the file: INFO shows that to the keeper of a cluster.
conf=$RUN/on/$NODE_NAME/redis.conf
mkdir -p "${conf%/*}"
redis_users $copies >"$RUN/users.acl"
{
    cat "$CONFIG/redis.conf"
    tls_options "$self_port"
    echo "dir $DATA"
    echo "aclfile $RUN/users.acl"
    echo "masteruser replication"
    echo "masterauth $(cat "$SECRETS/replication")"
    echo "replica-announce-ip $self_host"
    echo "replica-announce-port $self_port"
    case $MODE in
        sentinel) is_self || echo "replicaof $master_host $master_port" ;;
        cluster)
            echo "cluster-announce-ip $self_host"
            echo "cluster-announce-hostname $self_name"
            echo "cluster-port $self_second"
            echo "cluster-announce-bus-port $self_second"
            if [ "$TLS" = yes ]; then
                echo "cluster-announce-tls-port $self_port"
                echo "tls-cluster yes"
                echo "cluster-preferred-endpoint-type hostname"
            else
                echo "cluster-announce-port $self_port"
            fi
            ;;
    esac
} >"$conf"
keep_quiet
exec redis-server "$conf"
