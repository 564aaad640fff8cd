#!/usr/bin/env bash
# docker.sh up: uses the Docker engine that answers, else starts dockerd and waits for it. docker.sh down: ends what `up` started.
source "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin:/sbin
PIDFILE=$STATE/dockerd.pid
LOG=$STATE/dockerd.log
WAIT=60

answers() { timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null; }

up() {
  local version group=() starter
  if version=$(answers); then
    note "Docker $version answers."
    return 0
  fi
  [ -z "${DOCKER_HOST:-}" ] || fail "Docker at DOCKER_HOST=$DOCKER_HOST does not answer." "Start it, or unset DOCKER_HOST to use this machine's own."
  if [ -d /run/systemd/system ]; then
    say "Starting Docker (systemctl start docker)."
    as_root systemctl start docker
    echo systemd >"$PIDFILE"
    starter=
  else
    have dockerd || fail "Docker does not answer, and there is no dockerd to start." "scripts/setup.sh base"
    say "Starting dockerd; its log is .cache/dockerd.log."
    [ "$(id -u)" = 0 ] || group=(-G "$(id -gn)")
    # A session of its own: Ctrl-C here must not end it.
    as_root setsid dockerd "${group[@]}" --pidfile "$PIDFILE" >"$LOG" 2>&1 </dev/null &
    starter=$!
  fi
  for ((i = 0; i < WAIT * 5; i++)); do
    if version=$(answers); then
      say "Docker $version answers."
      return 0
    fi
    if [ -n "$starter" ] && ! kill -0 "$starter" 2>/dev/null; then break; fi
    sleep 0.2
  done
  [ -z "$starter" ] || grep -E 'level=(error|fatal)|failed|denied' "$LOG" | tail -n 5 >&2 || tail -n 5 "$LOG" >&2
  fail "dockerd did not start (waited up to $WAIT s)." "Read .cache/dockerd.log; inside a container it needs --privileged." "Or use an engine elsewhere: export DOCKER_HOST=…"
}

down() {
  [ -f "$PIDFILE" ] || return 0
  local pid
  pid=$(cat "$PIDFILE")
  if [ "$pid" = systemd ]; then
    as_root systemctl stop docker.socket docker
  # A number may have gone to another process since.
  elif [ "$(cat "/proc/$pid/comm" 2>/dev/null || true)" = dockerd ]; then
    as_root kill "$pid"
    for ((i = 0; i < 150; i++)); do
      [ -d "/proc/$pid" ] || break
      sleep 0.2
    done
    [ ! -d "/proc/$pid" ] || fail "dockerd ($pid) did not end within 30 s." "Read .cache/dockerd.log."
  fi
  rm -f "$PIDFILE" 2>/dev/null || as_root rm -f "$PIDFILE"
  say "Docker, which we had started, is stopped."
}

case ${1:-} in
up) up ;;
down) down ;;
*) fail "Usage: docker.sh up|down" ;;
esac
