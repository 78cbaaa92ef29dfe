#!/bin/bash
# POSTGRES_USER, POSTGRES_PASSWORD(_FILE), POSTGRES_DB and PGDATA as in the official image.
set -eo pipefail
[ "$1" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    user=${POSTGRES_USER:-postgres}
    initdb -U "$user" --auth-local=trust --auth-host=scram-sha-256 \
        --pwfile=<(echo "${POSTGRES_PASSWORD:?is required}") >/dev/null
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    if [ "${POSTGRES_DB:-$user}" != postgres ]; then
        pg_ctl -w start -o '-c listen_addresses=' >/dev/null
        createdb -h /var/run/postgresql -U "$user" "${POSTGRES_DB:-$user}"
        pg_ctl -w stop -m fast >/dev/null
    fi
fi
exec "$@" -c listen_addresses='*'
