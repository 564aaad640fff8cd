#!/usr/bin/env bash
# Installs what is missing, saying what and why. Usage: setup.sh [base] [desktop] [test]  (default: all)
# Only Debian and its relatives are served by apt; elsewhere it says what to install and stops.
source "$(dirname "$0")/lib.sh"
SETS=" ${*:-base desktop test} "

# The one list: set | package | what shows that it is there (a command, or a file) | why.
PACKAGES='
base|build-essential|cc|the C compiler and linker that Rust and SQLite build with
base|pkg-config|pkg-config|finds system libraries while building
base|mold|mold|links in a tenth of the time (.cargo/config.toml asks for it)
base|git|git|tells the version, and whether generated files are current
base|curl|curl|fetches the Rust toolchain when there is none
base|ca-certificates|/etc/ssl/certs/ca-certificates.crt|lets downloads be verified
base|openssl|openssl|verifies verdicts with nothing of ours
base|docker.io|docker|labs are Docker containers
base|docker.io|dockerd|runs the containers, where no other engine answers
base|iptables|iptables|dockerd does not start without it
base|mmdebstrap|mmdebstrap|makes the base image from Debian packages when no image registry can be reached
desktop|libwebkit2gtk-4.1-dev|/usr/share/doc/libwebkit2gtk-4.1-dev|the web view of the desktop window
desktop|libssl-dev|/usr/share/doc/libssl-dev|cryptography headers for the desktop build
desktop|xdg-utils|xdg-open|opens forwarded lab pages in your browser
test|xvfb|Xvfb|a display without a screen, for the window under test
test|x11-utils|xwininfo|tells when the window is on the screen (make bench)
test|webkit2gtk-driver|WebKitWebDriver|drives the window under test
test|chromium|chromium|the browser under test
test|fonts-dejavu-core|/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf|so that screenshots show letters
test|dbus|dbus-daemon|a session bus for the tests alone, so that they have a secret store
test|gnome-keyring|gnome-keyring-daemon|the secret store that keys are put into, in the tests
test|postgresql|/usr/share/doc/postgresql|the second database of the scoreboard; tests run a cluster of their own
test|docker-compose|docker-compose|the peer in `forge bench spawn`; reads the compose file of deploy/
test|python3-yaml|/usr/lib/python3/dist-packages/yaml/__init__.py|reads the other YAML of deploy/
'
# The classroom stack's programs, for its tests: unpacked into .tools/deb and not installed, because Debian would start them all
# (ports 80, 4222, 9090) and put syslog-ng in the place of this machine's own.
UNPACKED='prometheus nats-server nginx syslog-ng-core syslog-ng-mod-http libivykis0 libnet1 libjson-c5 libpcre3 libwrap0'
NODE_AT_LEAST=20.19.0
RUST_AT_LEAST=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

apt_packages() {
  local missing=() set package probe why
  while IFS='|' read -r set package probe why; do
    [[ -n $set && $SETS == *" $set "* ]] || continue
    case $probe in /*) [ -e "$probe" ] && continue ;; *) have "$probe" || [ -x "/usr/sbin/$probe" ] && continue ;; esac
    [[ " ${missing[*]} " == *" $package "* ]] && continue
    missing+=("$package")
    say "  $package: $why"
  done <<<"$PACKAGES"
  install "${missing[@]}"
}

install() {
  [ $# -gt 0 ] || return 0
  have apt-get || fail "This machine has no apt. Install by its own means: $*"
  say "Installing: $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || fail "apt-get update failed." "Check the network and /etc/apt/sources.list."
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$STATE/apt.log" 2>&1 || {
    tail -n 15 "$STATE/apt.log" >&2
    fail "apt could not install: $*" "The whole log is in .cache/apt.log."
  }
}

unpacked_packages() {
  [[ $SETS == *" test "* ]] || return 0
  [ "$(cat "$TOOLS/deb/.list" 2>/dev/null || true)" != "$UNPACKED" ] || return 0
  have apt-get || fail "This machine has no apt." "The tests of deploy/ need these of Debian's packages unpacked in .tools/deb: $UNPACKED"
  say "  in .tools/deb, not installed: $UNPACKED"
  as_root apt-get update -qq || fail "apt-get update failed." "Check the network and /etc/apt/sources.list."
  rm -rf "$TOOLS/deb"
  mkdir -p "$TOOLS/deb/packages"
  # shellcheck disable=SC2086 # names, each a word
  (cd "$TOOLS/deb/packages" && apt-get download -qq $UNPACKED 2>"$STATE/apt.log") || fail "apt could not fetch: $UNPACKED" "$(tail -n 3 "$STATE/apt.log")"
  local package
  for package in "$TOOLS"/deb/packages/*.deb; do dpkg-deb -x "$package" "$TOOLS/deb"; done
  # Debian 12 still keeps some libraries in /lib, which is /usr/lib on a real system.
  [ ! -d "$TOOLS/deb/lib" ] || cp -a "$TOOLS/deb/lib/." "$TOOLS/deb/usr/lib/"
  rm -rf "$TOOLS/deb/packages"
  echo "$UNPACKED" >"$TOOLS/deb/.list"
}

rust() {
  local version
  version=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
  if [ -z "$version" ]; then
    say "  rust: the engine and the app are written in it, and Debian 12's is too old"
    curl --proto '=https' --tlsv1.2 -sSf --retry 3 https://sh.rustup.rs -o "$STATE/rustup.sh" ||
      fail "The Rust installer could not be fetched." "Install Rust $RUST_AT_LEAST or newer by another way (https://rustup.rs), then try again."
    sh "$STATE/rustup.sh" -y -q --no-modify-path --profile minimal -c rustfmt -c clippy
  elif ! at_least "$version" "$RUST_AT_LEAST"; then
    fail "Rust $version is here, $RUST_AT_LEAST is needed." "rustup update stable"
  fi
  if [[ $SETS == *" test "* ]]; then
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
  fi
}

node_js() {
  local version
  version=$(node --version 2>/dev/null | tr -d v || true)
  if [ -n "$version" ] && at_least "$version" "$NODE_AT_LEAST" && have npm; then return 0; fi
  if ! have npm; then
    say "  npm: fetches what the UI is built with"
    install npm
    version=$(node --version | tr -d v)
  fi
  at_least "$version" "$NODE_AT_LEAST" && return 0
  say "  node 22 in .tools: the UI's build needs $NODE_AT_LEAST or newer, here is $version"
  npm install --silent --no-audit --no-fund --prefix "$TOOLS/node" "node-linux-$NODE_ARCH@22"
}

node_modules() {
  local want
  want=$(sha256sum ui/package-lock.json | cut -d' ' -f1)
  [ "$(cat ui/node_modules/.forge-lock 2>/dev/null || true)" = "$want" ] && return 0
  say "  node modules: as ui/package-lock.json says"
  npm --prefix ui ci --silent --no-audit --no-fund || fail "npm could not fetch the UI's modules." "Check the network, then try again."
  echo "$want" >ui/node_modules/.forge-lock
}

apt_packages
unpacked_packages
rust
node_js
node_modules
note "Nothing else is missing."
