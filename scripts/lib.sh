# What the scripts share: words, stages with times, root, and where our own tools are. Sourced, never run.
set -Eeuo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
TOOLS=$ROOT/.tools
STATE=$ROOT/.cache
mkdir -p "$TOOLS" "$STATE"
case $(uname -m) in aarch64) NODE_ARCH=arm64 ;; *) NODE_ARCH=x64 ;; esac
export PATH="$TOOLS/node/node_modules/node-linux-$NODE_ARCH/bin:$TOOLS/bin:$TOOLS/deb/usr/bin:$TOOLS/deb/usr/sbin:$HOME/.cargo/bin:$PATH"

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' OFF=$'\e[0m'; else BOLD='' DIM='' RED='' GREEN='' OFF=''; fi

say() { printf '%s\n' "$*"; }
note() { printf '%s%s%s\n' "$DIM" "$*" "$OFF"; }
# fail WHAT [HINT…]: what happened and why; then what to do.
fail() {
  printf '%serror:%s %s\n' "$RED" "$OFF" "$1" >&2
  shift
  for hint in "$@"; do printf '  → %s\n' "$hint" >&2; done
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
# True when version $1 is at least $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then sudo "$@"
  else fail "This step needs root: $*" "Run it as root, or install sudo."; fi
}

# stage NAME COMMAND…: runs it, tells its time; the first that fails ends the script with its name.
STAGES=()
stage() {
  local name=$1 began status=0
  shift
  printf '\n%s== %s%s\n' "$BOLD" "$name" "$OFF"
  began=$(date +%s)
  # Not in an `if` or after `||`: there, bash would ignore failing commands inside functions.
  trap 'stage_failed "'"$name"'" '"$began" ERR
  "$@"
  trap - ERR
  status=$(($(date +%s) - began))
  STAGES+=("$name ${status}s")
  printf '%s   %s: %s s%s\n' "$DIM" "$name" "$status" "$OFF"
}
stage_failed() {
  printf '\n%sFAILED%s at “%s” after %s s\n' "$RED" "$OFF" "$1" "$(($(date +%s) - $2))" >&2
  exit 1
}
