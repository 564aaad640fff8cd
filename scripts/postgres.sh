#!/usr/bin/env bash
# scripts/postgres.sh COMMAND…: runs it with FORGE_POSTGRES set to the URL of an empty database in a PostgreSQL cluster of its
# own, made for it on a free port of the loopback interface and removed afterwards. `{db}` in an argument becomes such a URL.
source "$(dirname "$0")/lib.sh"
BIN=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin | sort -V | tail -n 1)
[[ -n $BIN ]] || { fail "PostgreSQL is not installed." "Run scripts/setup.sh test."; }
PLACE=$(mktemp -d)
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as() { if [[ $(id -u) == 0 ]]; then (cd "$PLACE" && setpriv --reuid=postgres --regid=postgres --clear-groups "$@"); else "$@"; fi; }
trap 'as "$BIN/pg_ctl" -D "$PLACE/data" -m fast -w stop >/dev/null 2>&1 || true; rm -rf "$PLACE"' EXIT
[[ $(id -u) != 0 ]] || chown postgres "$PLACE"
as "$BIN/initdb" -A trust -U board -E UTF8 --locale=C -D "$PLACE/data" >/dev/null
as "$BIN/pg_ctl" -D "$PLACE/data" -l "$PLACE/log" -w -o "-h 127.0.0.1 -p $PORT -k $PLACE" start >/dev/null
psql -q -h 127.0.0.1 -p "$PORT" -U board -d postgres -c "CREATE DATABASE bench"
URL="postgres://board@127.0.0.1:$PORT/bench"
FORGE_POSTGRES=$URL "${@//\{db\}/$URL}"
