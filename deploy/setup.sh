#!/usr/bin/env bash
# Makes what is the classroom server's own, once: secrets (random, readable by one account) and .env. Nothing is overwritten.
# Usage: deploy/setup.sh HOST [CERTIFICATE.pem KEY.pem]    HOST: the name or address under which laptops reach this server
#        deploy/setup.sh --certificate [CERTIFICATE.pem KEY.pem]    a new certificate, given or made, in the place of the old one
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
HOST=$1 GIVEN=("${@:2}")
command -v openssl >/dev/null || fail "openssl is not installed; it makes the secrets." "apt-get install openssl"
if [ "$HOST" = --certificate ]; then
  [ -e "$OUT/.env" ] || fail "This server is not set up yet." "deploy/setup.sh board.school.example"
  HOST=$(sed -n 's/^FORGE_HOST=//p' "$OUT/.env") RENEWED=yes
fi
[[ $HOST =~ ^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$ ]] || fail "“$HOST” is no host name or IPv4 address."
if [[ $HOST =~ ^[0-9.]+$ ]]; then KIND=ip NAME=IP:$HOST; else KIND=host NAME=DNS:$HOST; fi

# certificate DIR: the one that was given and is good for this server, or one that is its own authority.
certificate() {
  if [ ${#GIVEN[@]} = 2 ]; then
    local pem=${GIVEN[0]} key=${GIVEN[1]} file
    for file in "$pem" "$key"; do [ -r "$file" ] || fail "$file cannot be read."; done
    [ "$(openssl x509 -in "$pem" -noout -pubkey)" = "$(openssl pkey -in "$key" -pubout)" ] || fail "The key $key is not the one of the certificate $pem."
    openssl x509 -in "$pem" -noout -checkend 0 >/dev/null || fail "The certificate $pem has expired."
    openssl x509 -in "$pem" -noout "-check$KIND" "$HOST" | grep -q "does match" || fail "The certificate $pem is not for $HOST." \
      "It is for: $(openssl x509 -in "$pem" -noout -ext subjectAltName | tail -n 1 | sed 's/^ *//')"
    cp "$pem" "$1/tls_certificate.pem"
    cp "$key" "$1/tls_key.pem"
  else
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -sha256 -subj "/CN=${HOST:0:64}" \
      -addext "subjectAltName=$NAME" -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth \
      -keyout "$1/tls_key.pem" -out "$1/tls_certificate.pem" 2>"$1/log" || fail "The certificate could not be made: $(tail -n 1 "$1/log")"
    rm "$1/log"
  fi
  chmod 600 "$1"/tls_*
}
handed_out() {
  [ ${#GIVEN[@]} = 2 ] || printf 'The certificate is its own authority. Give learners %s: forge enrol https://%s CODE --ca tls_certificate.pem\n' "$SECRETS/tls_certificate.pem" "$HOST"
}

if [ "${RENEWED:-}" ]; then
  NEW=$(mktemp -d "$OUT/.secrets-XXXXXX")
  trap 'rm -rf "$NEW"' EXIT
  certificate "$NEW"
  # Into the same files: a container that runs has them mounted.
  for file in tls_certificate.pem tls_key.pem; do cat "$NEW/$file" >"$SECRETS/$file"; done
  printf 'The new certificate is in place. Next:\n  docker compose -f %s/compose.yml restart proxy\n' "$HERE"
  handed_out
  exit
fi
for there in "$SECRETS" "$OUT/.env"; do
  [ ! -e "$there" ] || fail "$there is there already: this server is set up. Nothing was changed." \
    "A new certificate: deploy/setup.sh --certificate" \
    "To begin anew, stop the stack and move it away. The database keeps the old password."
done

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
certificate "$NEW"
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
handed_out
