#!/usr/bin/env bash
# build.sh [ui] [cli] [app]: builds what is asked for, and the UI only when it changed.
# Development builds: from nothing they are ready in half the time of release builds, and the work is done by Docker and
# the network stack, not by us. `make release` makes the packages that users install.
source "$(dirname "$0")/lib.sh"
PROFILE=${PROFILE:-dev}

ui() {
  local want stamp=$STATE/ui.stamp
  want=$(find ui -type f -not -path 'ui/node_modules/*' -not -path 'ui/dist/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  if [ -f ui/dist/index.html ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ]; then
    note "The UI is current."
    return 0
  fi
  npm --prefix ui run --silent build
  printf '%s' "$want" >"$stamp"
}

for what in "${@:-ui}"; do
  case $what in
  ui) ui ;;
  cli) cargo build --locked --profile "$PROFILE" -p forge-cli ;;
  app) cargo build --locked --profile "$PROFILE" -p frostgate-forge ;;
  *) fail "Usage: build.sh [ui] [cli] [app]" ;;
  esac
done
