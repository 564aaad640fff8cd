#!/usr/bin/env bash
# The command line on a real Docker engine: the whole journey for every built-in lab, exit codes, and nothing left behind.
source "$(dirname "$0")/../../scripts/lib.sh"
FORGE=${FORGE_BIN:-$ROOT/target/debug/forge}
export FORGE_HOME=${FORGE_HOME:-$(mktemp -d)}
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT

# expect CODE ARGS…: the exit code, and with an error its JSON.
expect() {
  local want=$1 got=0
  shift
  "$FORGE" --json "$@" >"$OUT/answer" 2>"$OUT/errors" </dev/null || got=$?
  [ "$got" = "$want" ] || { cat "$OUT/answer" "$OUT/errors" >&2; fail "forge $* exited with $got, not $want"; }
}
# field EXPRESSION: of the last answer, as JavaScript on `a`.
field() { node -e 'const a = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")); console.log(eval(process.argv[2]))' "$OUT/answer" "$1"; }
holds() { [ "$(field "$1")" = true ] || { cat "$OUT/answer" >&2; fail "does not hold: $1"; }; }
ours() { docker ps -aq --filter "label=dev.frostgate.instance=$(cat "$FORGE_HOME/instance")" | wc -l; }

expect 0 doctor && holds 'a.ready'
expect 0 labs && holds 'a.length >= 3 && a.every(l => l.id && l.track && l.tier && l.title && l.minutes > 0 && l.version && l.digest && typeof l.ready === "boolean")'
LABS=$(field 'a.map(l => l.id).join(" ")')
expect 2 start && holds 'a.error.code === "invalid_input"'
expect 4 start no-such-lab && holds 'a.error.code === "unknown_lab" && a.error.message.length > 0'
expect 4 check zzzzzzzzzz && holds 'a.error.code === "unknown_run"'
FORGE_INSTRUCTOR=false expect 3 solve zzzzzzzzzz && holds 'a.error.code === "denied"'
DOCKER_HOST=unix:///nonexistent.sock expect 5 start "${LABS%% *}" && holds 'a.error.code === "docker_unavailable" && a.error.hints.length > 0'

# One request id is one run; another lab under it is refused.
FIRST=${LABS%% *}
expect 0 start "$FIRST" --request-id r1 --seed s1
holds '/^[a-z2-7]{10}$/.test(a.run) && a.seed === "s1" && a.nodes.length > 1 && a.nodes.every(n => n.name && n.role && n.container) && a.ready_ms > 0 && a.steps.length > 3'
RUN=$(field a.run)
NODE=$(field 'a.nodes.find(n => n.enter).name')
expect 0 start "$FIRST" --request-id r1 --seed s1 && holds "a.run === '$RUN'"
expect 0 policy log --run "$RUN" && holds '["spawn", "training", "quota", "capabilities"].every(g => a.decisions.some(d => d.gate === g && d.allow)) && a.decisions.filter(d => d.gate === "training").length === 2'
expect 9 start "$FIRST" --request-id r1 --seed s2 && holds 'a.error.code === "request_reused"'
expect 0 guide "$RUN" && holds "a.run === '$RUN' && a.lab === '$FIRST' && /^#/m.test(a.guide) && !a.guide.includes('{{')"
expect 0 hint "$RUN" && holds 'a.length > 0 && a.every(h => h.id && h.criterion && h.cost > 0 && h.text === null)'
HINT=$(field 'a[0].id')
expect 0 hint "$RUN" "$HINT" && holds 'a.text.length > 0'
expect 0 hint "$RUN" && holds 'a.filter(h => h.text !== null).length === 1'
expect 7 exec "$RUN" "$NODE" -- sh -c 'echo out; echo err >&2; exit 7' && holds 'a.exit === 7 && a.stdout === "out\n" && a.stderr === "err\n"'
expect 0 check "$RUN" && holds 'a.score < a.max && a.criteria.every(c => c.id && ["pass", "fail"].includes(c.outcome))'
expect 1 check "$RUN" --require-full
expect 0 pause "$RUN" && expect 9 check "$RUN" && expect 0 resume "$RUN"
expect 0 stop "$RUN" && holds "a.stopped.includes('$RUN')"
[ "$(ours)" = 0 ] || fail "stopping left $(ours) containers"

# Interrupted at different moments, a start leaves nothing.
for delay in 0.05 0.3 0.8; do
  "$FORGE" --json start "$FIRST" >"$OUT/answer" 2>&1 </dev/null &
  PID=$!
  sleep "$delay"
  kill -INT "$PID" 2>/dev/null || true
  GOT=0
  wait "$PID" || GOT=$?
  if [ "$GOT" = 0 ]; then "$FORGE" stop "$(field a.run)" >/dev/null; elif [ "$GOT" != 7 ] && [ "$GOT" != 130 ]; then cat "$OUT/answer" >&2; fail "an interrupted start exited with $GOT"; fi
  [ "$(ours)" = 0 ] || fail "a start interrupted after $delay s left $(ours) containers"
done

# Killed without warning, at different moments: the next command sweeps or adopts, and tells the truth.
for delay in 0.1 0.4 0.7 1.5; do
  "$FORGE" --json start "$FIRST" >"$OUT/answer" 2>&1 </dev/null &
  PID=$!
  sleep "$delay"
  kill -KILL "$PID" 2>/dev/null || true
  wait "$PID" 2>/dev/null || true
  expect 0 ps && holds 'a.every(r => r.state === "ready")'
  if [ "$(field a.length)" = 0 ]; then
    [ "$(ours)" = 0 ] || fail "a start killed after $delay s left $(ours) containers"
  else
    expect 0 stop --all
  fi
done
[ "$(ours)" = 0 ] || fail "killed starts left $(ours) containers"

for lab in $LABS; do
  say "demo $lab"
  expect 0 demo "$lab" && holds 'a.ok && a.verify.ok && a.check.score === a.check.max'
  DIR=$(field a.submit.dir)
  openssl pkeyutl -verify -pubin -inkey "$DIR/verdict.pub.pem" -rawin -in "$DIR/verdict.pae" -sigfile "$DIR/verdict.sig" >/dev/null
  expect 0 verify "$DIR"
  cp -r "$DIR" "$OUT/flipped"
  node -e 'const fs = require("fs"), f = process.argv[1], b = fs.readFileSync(f); b[b.length >> 1] ^= 1; fs.writeFileSync(f, b)' "$OUT/flipped/score.json"
  expect 6 verify "$OUT/flipped"
  rm -rf "$OUT/flipped"
done
expect 0 ps && holds 'a.length === 0'

# A lab that wants more than this machine has is denied, and why can be asked later.
mkdir "$OUT/labs"
cp -r "$ROOT"/templates/* "$OUT/labs"
sed -i 's/memory_mb: [0-9]*/memory_mb: 65536/' "$OUT"/labs/*/*/lab.yaml
expect 3 --labs "$OUT/labs" start "$FIRST" && holds 'a.error.code === "denied" && a.error.details.gates.includes("quota")'
DECISION=$(field 'a.error.details.decisions[0]')
expect 0 policy why "$DECISION" && holds 'a.decision.gate === "quota" && !a.decision.allow && a.decision.run === null && a.decision.reasons.length > 0 && a.input.request.memory_mb === 65536 + 128 && a.current && a.others.length === 4'

# The log of all this is whole; without its last entries, the verdicts say that there were more.
expect 0 audit verify && holds 'a.ok && a.entries > 20 && a.outside >= 1'
[ "$(ours)" = 0 ] || fail "the demos left $(ours) containers"
say "The command line does what it says."
