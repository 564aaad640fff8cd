#!/usr/bin/env bash
# Test tools that Debian does not have, built once into .tools/.
source "$(dirname "$0")/lib.sh"
# name version why
TOOL_LIST='
tauri-driver 2.1.0 speaks WebDriver to the desktop window
cargo-deny 0.20.2 looks at licences, sources and advisories of dependencies
'
while read -r name version why; do
  [ -n "$name" ] || continue
  grep -qs "\"$name $version " "$TOOLS/.crates2.json" && continue
  say "  $name $version: $why"
  cargo install --quiet --locked --root "$TOOLS" "$name@$version"
done <<<"$TOOL_LIST"
note "Test tools are there."
