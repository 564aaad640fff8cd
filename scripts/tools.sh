#!/usr/bin/env bash
# Tools that Debian does not have, built once into .tools/. Argument: for what (default: test).
source "$(dirname "$0")/lib.sh"
PURPOSE=${1:-test}
# purpose name version why
TOOL_LIST='
test tauri-driver 2.1.0 speaks WebDriver to the desktop window
test cargo-deny 0.20.2 looks at licences, sources and advisories of dependencies
fuzz cargo-fuzz 0.13.2 runs the readers of strange bytes under libFuzzer
'
while read -r purpose name version why; do
  [ "$purpose" = "$PURPOSE" ] || continue
  grep -qs "\"$name $version " "$TOOLS/.crates2.json" && continue
  say "  $name $version: $why"
  cargo install --quiet --locked --root "$TOOLS" "$name@$version"
done <<<"$TOOL_LIST"
note "Tools for $PURPOSE are there."
