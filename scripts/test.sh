#!/usr/bin/env bash
# make test: everything there is to test, from the quickest answer to the slowest. Ends at the first failure.
# make check (`test.sh check`): of that, what needs no Docker, before every commit.
source "$(dirname "$0")/lib.sh"
BEGAN=$(date +%s)
WORK=$(mktemp -d)
FORGE=$ROOT/target/debug/forge
export FORGE_HOME=$WORK/home FORGE_BIN=$FORGE FORGE_APP=$ROOT/target/debug/frostgate-forge
# Until we have started it, it is not ours to stop.
DOCKER_WAS_UP=yes

cleanup() {
  local status=$?
  trap - EXIT INT TERM ERR
  if [ -x "$FORGE" ] && [ -d "$FORGE_HOME" ]; then "$FORGE" stop --all >/dev/null 2>&1 || note "Stopping our test labs failed; the next start sweeps them."; fi
  [ "$DOCKER_WAS_UP" = yes ] || scripts/docker.sh down || true
  rm -rf "$WORK"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

dependencies() {
  cargo deny --locked --log-level error check bans licenses sources
  if timeout 20 git ls-remote -q https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
    cargo deny --locked --log-level error check advisories
  else
    say "NOTICE: the advisory database cannot be reached from here; known vulnerabilities were NOT looked up."
  fi
  node scripts/npm-dependencies.mjs
}

finish() {
  printf '\n%sPASSED%s %s stages in %s s (%s)\n' "$GREEN" "$OFF" "${#STAGES[@]}" "$(($(date +%s) - BEGAN))" "$(IFS=,; echo "${STAGES[*]}")"
  exit 0
}

docker_up() {
  timeout 10 docker version >/dev/null 2>&1 || DOCKER_WAS_UP=no
  scripts/docker.sh up
}

ui_checks() {
  npm --prefix ui run --silent check
  npm --prefix ui run --silent lint
  npm --prefix ui test --silent
}

stage setup scripts/setup.sh base desktop test
stage tools scripts/tools.sh
stage format cargo fmt --all --check
stage dependencies dependencies
stage "ui checks" ui_checks
stage ui scripts/build.sh ui
stage clippy cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
stage contract scripts/contract.sh
[ "${1:-}" != check ] || finish
stage docker docker_up
stage build scripts/build.sh cli app
stage "build scoreboard" cargo build --locked --quiet -p forge-scoreboard
stage "classroom stack" scripts/deploy-check.sh
stage images "$FORGE" images prepare
# All of them, so that one red run tells whatever is wrong.
stage "unit and engine tests" cargo test --locked --quiet --workspace --no-fail-fast
stage "command line" tests/cli/run.sh
stage browser node --test --test-concurrency=1 tests/browser/
stage scoreboard node --test --test-concurrency=1 tests/scoreboard/
stage "desktop window" node --test --test-concurrency=1 tests/desktop/
finish
