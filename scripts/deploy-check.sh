#!/usr/bin/env bash
# The classroom stack, each file held against the program that reads it (where Debian has that program), and each check seen to
# fail on a broken copy. Usage: deploy-check.sh; FORGE_SCOREBOARD_BIN is the board whose /metrics the queries are held against.
source "$(dirname "$0")/lib.sh"
BOARD=${FORGE_SCOREBOARD_BIN:-$ROOT/target/debug/forge-scoreboard}
WORK=$(mktemp -d)
BOARD_PID=''
cleanup() {
  local status=$?
  trap - EXIT
  [ -z "$BOARD_PID" ] || kill "$BOARD_PID" 2>/dev/null || true
  rm -rf "$WORK"
  exit "$status"
}
trap cleanup EXIT

# Each check takes a copy of deploy/ with its own secrets in it. What it says is shown when it fails.
compose_json() {
  docker-compose --env-file "$1/.env" -f "$1/compose.yml" config |
    /usr/bin/python3 -c 'import json,sys,yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)'
}
check_compose() { compose_json "$1" >"$WORK/compose.json" && node scripts/deploy-check.mjs compose "$1" <"$WORK/compose.json"; }
check_names() { compose_json "$1" >"$WORK/compose.json" && node scripts/deploy-check.mjs names "$1" <"$WORK/compose.json"; }
check_dashboards() { node scripts/deploy-check.mjs dashboards "$1" </dev/null; }
check_metrics() { node scripts/deploy-check.mjs metrics "$1" <"$WORK/metrics.txt"; }
check_prometheus() { promtool check config "$1/prometheus/prometheus.yml"; }
check_rules() { promtool test rules "$1"/prometheus/tests/*.yml; }
# The same files, with the paths that they have in their containers put where they are here.
check_nats() {
  mkdir -p "$1/etc/nats" "$1/run/secrets"
  cp "$1/secrets/nats_accounts.conf" "$1/run/secrets/nats_accounts"
  sed "s#\"/data\"#\"$1/jetstream\"#" "$1/nats/nats.conf" >"$1/etc/nats/nats.conf"
  nats-server -t -c "$1/etc/nats/nats.conf"
}
check_proxy() {
  sed "s#/run/secrets/\(tls_[a-z]*\)#$1/secrets/\1.pem#; s#server=logs:#server=127.0.0.1:#" "$1/proxy/nginx.conf" >"$1/nginx.conf"
  nginx -t -c "$1/nginx.conf"
}
check_logs() {
  # Its libraries and modules are where it is unpacked.
  local lib=$TOOLS/deb/usr/lib
  LD_LIBRARY_PATH=$lib/syslog-ng:$(echo "$lib"/*-linux-gnu) syslog-ng --module-path="$(echo "$lib"/syslog-ng/[0-9]*)" \
    --syntax-only --no-caps -f "$1/logs/syslog-ng.conf"
}
check_setup() {
  local file
  for file in "$1"/secrets/*; do [ "$(stat -c %a "$file")" = 600 ] || { say "$file is not readable by its owner alone"; return 1; }; done
  [ "$(cat "$1/secrets/database_password")" != "$(cat "$OTHER/secrets/database_password")" ] || { say "two servers have one password"; return 1; }
}

# copy NAME: deploy/ as it would be on a server that was just set up.
copy() {
  local to=$WORK/$1/deploy
  mkdir -p "$to"
  # Not what a real server's owner has there.
  tar -C deploy --exclude=./secrets --exclude=./.env -cf - . | tar -C "$to" -xf -
  "$to/setup.sh" board.example >"$WORK/said" 2>&1 || fail "setup.sh did not end well." "$(cat "$WORK/said")"
  # The account of the containers owns them; here they are read by whoever tests.
  [ "$(id -u)" != 0 ] || chown -R 0:0 "$to/secrets"
}
holds() {
  "check_$1" "$WORK/good/deploy" >"$WORK/said" 2>&1 || { cat "$WORK/said" >&2; fail "deploy/: the check “$1” does not hold."; }
  CHECKED+=("$1")
}
# refuses CHECK FILE SED: the check must fail on a copy in which FILE is changed so.
refuses() {
  local broken=$WORK/broken/deploy
  rm -rf "$WORK/broken"
  cp -a "$WORK/good" "$WORK/broken"
  sed -i -E "$3" "$broken/$2"
  cmp -s "$WORK/good/deploy/$2" "$broken/$2" && fail "The change “$3” changes nothing in $2: the test tests nothing."
  if "check_$1" "$broken" >"$WORK/said" 2>&1; then fail "The check “$1” did not notice “$3” in $2."; fi
  BROKEN=$((BROKEN + 1))
}

CHECKED=() BROKEN=0
copy good
copy other
OTHER=$WORK/other/deploy
if "$WORK/good/deploy/setup.sh" board.example >"$WORK/said" 2>&1; then fail "setup.sh overwrote a server that was set up."; fi
grep -q "is there already" "$WORK/said" || fail "setup.sh refused for another reason: $(cat "$WORK/said")"
if FORGE_DEPLOY_OUT=$WORK/none "$WORK/good/deploy/setup.sh" 'board; rm' >"$WORK/said" 2>&1; then fail "setup.sh took a host name that is none."; fi

# A certificate that no laptop would believe is not taken, and a new one comes into its place without touching anything else.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x -addext subjectAltName=DNS:other.example \
  -keyout "$WORK/x.key" -out "$WORK/x.pem" 2>/dev/null
openssl x509 -in "$WORK/x.pem" -signkey "$WORK/x.key" -days -1 -out "$WORK/over.pem" 2>/dev/null
mkdir "$WORK/given"
refused_certificate() { # HOST WORDS [CERTIFICATE]
  if FORGE_DEPLOY_OUT=$WORK/given "$SETUP_IN/setup.sh" "$1" "${3:-$WORK/x.pem}" "$WORK/x.key" >"$WORK/said" 2>&1; then fail "setup.sh took a certificate that is no good for $1."; fi
  grep -q "$2" "$WORK/said" || fail "setup.sh refused for another reason: $(cat "$WORK/said")"
  [ -z "$(ls -A "$WORK/given")" ] || fail "setup.sh left something of a certificate that it refused."
}
SETUP_IN=$WORK/other/deploy
refused_certificate board.example 'is for: DNS:other.example'
refused_certificate 127.0.0.1 'not for 127.0.0.1'
refused_certificate other.example 'over.pem has expired' "$WORK/over.pem"
if FORGE_DEPLOY_OUT=$WORK/given "$SETUP_IN/setup.sh" --certificate >"$WORK/said" 2>&1; then fail "setup.sh renewed what is not set up."; fi
FORGE_DEPLOY_OUT=$WORK/given "$SETUP_IN/setup.sh" other.example "$WORK/x.pem" "$WORK/x.key" >/dev/null
cmp -s "$WORK/x.pem" "$WORK/given/secrets/tls_certificate.pem" || fail "setup.sh did not take the certificate it was given."
before=$(cat "$WORK/given/.env" "$WORK/given/secrets/database_url" | sha256sum; stat -c '%u %a' "$WORK/given/secrets/tls_key.pem")
FORGE_DEPLOY_OUT=$WORK/given "$SETUP_IN/setup.sh" --certificate >"$WORK/said" 2>&1 || fail "setup.sh made no new certificate." "$(cat "$WORK/said")"
after=$(cat "$WORK/given/.env" "$WORK/given/secrets/database_url" | sha256sum; stat -c '%u %a' "$WORK/given/secrets/tls_key.pem")
[ "$before" = "$after" ] || fail "A new certificate changed something else: $before, then $after."
openssl x509 -in "$WORK/given/secrets/tls_certificate.pem" -noout -checkhost other.example | grep -q 'does match' || fail "The new certificate is for another name."
if cmp -s "$WORK/x.pem" "$WORK/given/secrets/tls_certificate.pem"; then fail "The certificate is still the old one."; fi

"$BOARD" serve --listen 127.0.0.1:0 --data "$WORK/board" --json >"$WORK/board.out" 2>"$WORK/board.err" &
BOARD_PID=$!
for _ in $(seq 100); do [ -s "$WORK/board.out" ] && break; sleep 0.1; done
URL=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$WORK/board.out")
[ -n "$URL" ] || fail "The board did not start: $(tail -n 3 "$WORK/board.err")"
curl -sf "$URL/v1/stats" >/dev/null
curl -sf "$URL/metrics" >"$WORK/metrics.txt"

for check in setup compose names prometheus rules metrics dashboards nats proxy logs; do holds "$check"; done

refuses compose compose.yml 's/^  read_only: true/  read_only: false/'
refuses compose compose.yml 's/cap_drop: \[ALL\]/cap_drop: [NET_RAW]/'
refuses compose compose.yml 's/"no-new-privileges:true"/"apparmor:docker"/'
refuses compose compose.yml 's#nats:2[0-9.]*-alpine#nats:latest#'
refuses compose compose.yml 's#^    image: postgres:.*#    image: postgres:17.5-bookworm\n    ports: ["5432:5432"]#'
refuses compose compose.yml 's#loki:/loki:nocopy\]#/var/log:/loki]#'
refuses compose compose.yml 's#logs:/logs:ro,nocopy#/var/run/docker.sock:/logs:ro#'
refuses compose compose.yml 's#nats:/data:nocopy#nats:/data#'
refuses compose compose.yml 's/inside: \{ internal: true \}/inside: {}/'
refuses compose compose.yml 's#GF_SECURITY_ADMIN_PASSWORD__FILE: .*#GF_SECURITY_ADMIN_PASSWORD: admin#'
refuses compose compose.yml 's/secrets: \[grafana_password\]/secrets: []/'
refuses compose compose.yml 's/mem_limit: 256m//'
refuses compose compose.yml 's/GF_NEWS_NEWS_FEED_ENABLED: "false"/GF_NEWS_NEWS_FEED_ENABLED: "true"/'
refuses compose compose.yml 's/^  database_url: .*//'
refuses compose compose.yml 's#user: "\$\{FORGE_UID:[^"]*"#user: "0:0"#'
refuses compose scoreboard/Containerfile 's/^USER .*/USER root/'
refuses names proxy/nginx.conf 's#http://scoreboard:8440#http://scoreboard:8441#'
refuses names prometheus/prometheus.yml 's#"loki:3100"#"lokki:3100"#'
refuses names loki/loki.yml 's/retention_enabled: true/retention_enabled: false/'
refuses names loki/loki.yml 's/^limits_config/limit_config/'
refuses names loki/loki.yml 's/max_line_size_truncate/truncate_max_line_size/'
refuses prometheus prometheus/prometheus.yml 's/static_configs/static_config/'
refuses prometheus prometheus/alerts.yml 's/expr: up == 0/expr: up ==/'
refuses rules prometheus/alerts.yml 's/> 0.05/> 0.5/'
refuses rules prometheus/recording.yml 's#\{route!~"\.\*/live"\}##'
refuses metrics prometheus/alerts.yml 's/forge_scoreboard_store_failures/forge_scoreboard_store_failures_total/'
refuses metrics grafana/dashboards/board.json 's/forge_scoreboard_listeners/forge_scoreboard_listener/'
refuses metrics prometheus/recording.yml 's/requests_total\{status=/requests_total{code=/'
refuses metrics grafana/dashboards/board.json 's/board:accepted:rate5m/board:accepted:rate1m/'
refuses dashboards grafana/dashboards/board.json 's/"id": 2,/"id": 1,/'
refuses dashboards grafana/provisioning/datasources/sources.yml 's/uid: loki/uid: logs/'
refuses nats nats/nats.conf 's#\.\./\.\./run/secrets#/run/secrets#'
refuses nats nats/nats.conf 's/^jetstream \{/jetstream/'
refuses proxy proxy/nginx.conf 's/ssl_protocols TLSv1.2/ssl_protocol TLSv1.2/'
refuses proxy proxy/nginx.conf 's#/run/secrets/tls_key#/run/secrets/tls_certificate#'
refuses logs logs/syslog-ng.conf 's/transport\("udp"\)/transprt("udp")/'
refuses logs logs/syslog-ng.conf 's/batch-lines/batch-line/'
note "Held: ${CHECKED[*]}. $BROKEN broken copies were noticed."
