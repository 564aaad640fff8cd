#!/usr/bin/env bash
# make fuzz: 100,000 mutants to each reader of strangers' bytes, on the stable compiler; then libFuzzer, coverage-guided, MINUTES
# (default 10) on each target, where cargo-fuzz is installed. `fuzz.sh mutants` is the first part alone.
source "$(dirname "$0")/lib.sh"
MINUTES=${MINUTES:-10}

stage mutants env FORGE_MUTANTS="${FORGE_MUTANTS:-100000}" cargo test --locked --quiet -p forge-core --test fuzz -- --nocapture
[ "${1:-}" != mutants ] || exit 0
if ! cargo fuzz --version >/dev/null 2>&1; then
  say "NOTICE: cargo-fuzz is not installed, so nothing was fuzzed with coverage. Get it: cargo install cargo-fuzz --locked"
  exit 0
fi
# libFuzzer's flags are unstable; the stable compiler takes them when it is told that this is meant.
export RUSTC_BOOTSTRAP=1
for target in template bundle sat envelope call answers; do
  stage "fuzz $target" cargo fuzz run --sanitizer none "$target" -- -max_total_time=$((MINUTES * 60)) -rss_limit_mb=256 -timeout=10
done
