#!/usr/bin/env bash
# make bench: every figure of docs/benchmarks.md, measured on this machine in one go with release builds. Takes about ten
# minutes; keep the machine quiet meanwhile.
source "$(dirname "$0")/lib.sh"
FORGE=$ROOT/target/release/forge
export FORGE_HOME FORGE_BIN=$FORGE FORGE_APP=$ROOT/target/release/frostgate-forge
FORGE_HOME=$(mktemp -d)
trap 'rm -rf "$FORGE_HOME"' EXIT

stage setup scripts/setup.sh base desktop test
stage tools scripts/tools.sh
PROFILE=release stage build scripts/build.sh ui cli app
stage docker scripts/docker.sh up
stage images "$FORGE" images prepare
say
say "$(date -u +%F), $(nproc) cores, $(awk '/MemTotal/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r), Docker $(docker version --format '{{.Server.Version}}')"
stage spawn "$FORGE" bench spawn
stage policy "$FORGE" bench policy
stage probes "$FORGE" bench probes
stage terminal "$FORGE" bench terminal
stage telemetry "$FORGE" bench telemetry
stage window node tests/desktop/bench.mjs
stage "build scoreboard" cargo build --locked --release --quiet -p forge-scoreboard
BOARD=$ROOT/target/release/forge-scoreboard
stage "ingest, SQLite" "$BOARD" bench ingest
stage "ingest in batches, SQLite" "$BOARD" bench ingest --open 4 --batch 128
stage "ingest, PostgreSQL" scripts/postgres.sh "$BOARD" bench ingest --database '{db}'
stage "ingest in batches, PostgreSQL" scripts/postgres.sh "$BOARD" bench ingest --open 4 --batch 128 --database '{db}'
for verdicts in 10000 1000000; do
  stage "leaderboard of $verdicts, SQLite" "$BOARD" bench leaderboard --verdicts $verdicts
  stage "leaderboard of $verdicts, PostgreSQL" scripts/postgres.sh "$BOARD" bench leaderboard --verdicts $verdicts --database '{db}'
done
stage "live board" "$BOARD" bench live
stage "bundle of 200 MB" cargo test --locked --release --quiet -p forge-scoreboard --test limits -- --ignored --nocapture
