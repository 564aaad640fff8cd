#!/usr/bin/env bash
# The UI's types (ui/src/gen) against what the code says. `scripts/contract.sh` fails on a difference; with `--update` it
# writes them. A run of a few tests writes a few types, and only into target/ts: this is the one way into ui/src/gen.
source "$(dirname "$0")/lib.sh"
FRESH=$ROOT/target/ts
rm -rf "$FRESH"
if [ "${1:-}" = --update ]; then export UPDATE_CONTRACT=1; fi
cargo test --locked --quiet -p forge-core --lib export_bindings
[ -s "$FRESH/api.ts" ] || fail "The tests wrote no types into target/ts." "TS_RS_EXPORT_DIR in .cargo/config.toml says where they go."
[ "${1:-}" != --update ] || cp "$FRESH/api.ts" ui/src/gen/api.ts
cargo test --locked --quiet -p forge-core --test contract
diff -u ui/src/gen/api.ts "$FRESH/api.ts" || fail "ui/src/gen/api.ts does not say what src-tauri/core/src/api says." "scripts/contract.sh --update writes it anew."
