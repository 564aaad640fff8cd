#!/usr/bin/env bash
# Makes what is the classroom server's own, once: secrets (random, readable by one account) and .env. Nothing is overwritten.
# Usage: deploy/setup.sh HOST [CERTIFICATE.pem KEY.pem]    HOST: the name or address under which laptops reach this server
set -euo pipefail
umask 077
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# For tests: elsewhere than beside this script.
OUT=${FORGE_DEPLOY_OUT:-$HERE}
SECRETS=$OUT/secrets

fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  for hint in "$@"; do printf '  → %s\n' "$hint" >&2; done
  exit 1
}

[ $# = 1 ] || [ $# = 3 ] || fail "One name, or a name, a certificate and its key." "deploy/setup.sh board.school.example"
HOST=$1
[[ $HOST =~ ^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$ ]] || fail "“$HOST” is no host name or IPv4 address."
command -v openssl >/dev/null || fail "openssl is not installed; it makes the secrets." "apt-get install openssl"
for there in "$SECRETS" "$OUT/.env"; do
  [ ! -e "$there" ] || fail "$there is there already: this server is set up. Nothing was changed." \
    "To begin anew, stop the stack and move it away. The database keeps the old password."
done
if [ $# = 3 ]; then
  for file in "$2" "$3"; do [ -r "$file" ] || fail "$file cannot be read."; done
  [ "$(openssl x509 -in "$2" -noout -pubkey)" = "$(openssl pkey -in "$3" -pubout)" ] || fail "The key $3 is not the one of the certificate $2."
fi

# Containers read the secrets as this account. Root's would need rights that no container has.
if [ "$(id -u)" = 0 ]; then USER_ID=10440 GROUP_ID=10440; else USER_ID=$(id -u) GROUP_ID=$(id -g); fi

# Elsewhere first: half a set of secrets must never look like a whole one.
NEW=$(mktemp -d "$OUT/.secrets-XXXXXX")
trap 'rm -rf "$NEW"' EXIT
random() { openssl rand -hex 32; }

DATABASE=$(random) SCOREBOARD=$(random) READER=$(random)
printf %s "$DATABASE" >"$NEW/database_password"
printf %s "postgres://board:$DATABASE@database:5432/board" >"$NEW/database_url"
printf %s "$(random)" >"$NEW/grafana_password"
printf %s "scoreboard:$SCOREBOARD" >"$NEW/nats_scoreboard"
printf %s "reader:$READER" >"$NEW/nats_reader"
cat >"$NEW/nats_accounts.conf" <<EOF
accounts {
  BOARD {
    jetstream { max_memory: 16M, max_file: 900M, max_streams: 4, max_consumers: 64 }
    users = [
      {
        user: "scoreboard", password: "$SCOREBOARD"
        permissions {
          publish = ["forge.board.>", "\$JS.API.INFO", "\$JS.API.STREAM.INFO.FORGE_BOARD", "\$JS.API.STREAM.CREATE.FORGE_BOARD"]
          subscribe = ["_INBOX.>"]
        }
      }
      {
        user: "reader", password: "$READER"
        permissions {
          publish = ["\$JS.API.INFO", "\$JS.API.STREAM.INFO.FORGE_BOARD", "\$JS.API.CONSUMER.*.FORGE_BOARD", "\$JS.API.CONSUMER.*.FORGE_BOARD.>", "\$JS.API.CONSUMER.DURABLE.CREATE.FORGE_BOARD.>", "\$JS.API.CONSUMER.MSG.NEXT.FORGE_BOARD.>", "\$JS.ACK.FORGE_BOARD.>"]
          subscribe = ["_INBOX.>", "forge.board.>"]
        }
      }
    ]
  }
}
EOF
if [ $# = 3 ]; then
  cp "$2" "$NEW/tls_certificate.pem"
  cp "$3" "$NEW/tls_key.pem"
else
  if [[ $HOST =~ ^[0-9.]+$ ]]; then NAME=IP:$HOST; else NAME=DNS:$HOST; fi
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -sha256 -subj "/CN=${HOST:0:64}" \
    -addext "subjectAltName=$NAME" -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth \
    -keyout "$NEW/tls_key.pem" -out "$NEW/tls_certificate.pem" 2>"$NEW/log" || fail "The certificate could not be made: $(tail -n 1 "$NEW/log")"
  rm "$NEW/log"
fi
chmod 600 "$NEW"/*
[ "$(id -u)" != 0 ] || chown -R "$USER_ID:$GROUP_ID" "$NEW"
printf 'COMPOSE_PROJECT_NAME=forge-classroom\nFORGE_HOST=%s\nFORGE_UID=%s\nFORGE_GID=%s\n' "$HOST" "$USER_ID" "$GROUP_ID" >"$NEW.env"
mv "$NEW" "$SECRETS"
trap - EXIT
mv "$NEW.env" "$OUT/.env"

cat <<EOF
Made $SECRETS and $OUT/.env. Next:
  docker compose -f $HERE/compose.yml up -d --build
  docker compose -f $HERE/compose.yml exec scoreboard forge-scoreboard invite --class "Networks 1" --count 30
Grafana: https://$HOST/grafana/, user admin, password in $SECRETS/grafana_password
EOF
[ $# = 3 ] || printf 'The certificate is its own authority. Give learners %s: forge enrol https://%s CODE --ca tls_certificate.pem\n' "$SECRETS/tls_certificate.pem" "$HOST"
