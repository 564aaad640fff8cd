#!/usr/bin/env bash
# make fuzz: 100,000 mutants to each reader of strangers' bytes, on the stable compiler; then libFuzzer, coverage-guided, MINUTES
# (default 10) on each target. What libFuzzer finds worth keeping stays in .cache/fuzz; what breaks a reader, in fuzz/artifacts.
# `fuzz.sh mutants` is the first part alone.
source "$(dirname "$0")/lib.sh"
MINUTES=${MINUTES:-10}

stage mutants env FORGE_MUTANTS="${FORGE_MUTANTS:-100000}" cargo test --locked --quiet -p forge-core --test fuzz -- --nocapture
[ "${1:-}" != mutants ] || exit 0
stage tools scripts/tools.sh fuzz
# libFuzzer's flags are unstable; the stable compiler takes them when it is told that this is meant.
export RUSTC_BOOTSTRAP=1
for target in template bundle sat envelope call answers; do
  mkdir -p "$STATE/fuzz/$target"
  stage "fuzz $target" cargo fuzz run --sanitizer none --target-dir target/fuzz "$target" "$STATE/fuzz/$target" "fuzz/corpus/$target" -- -max_total_time=$((MINUTES * 60)) -rss_limit_mb=256 -timeout=10
done
