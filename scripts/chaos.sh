#!/usr/bin/env bash
# make chaos: the fault harness, the simulation and the mutants in full. Needs root (a small file system, a dockerd of its own),
# a Docker engine with the lab images, and about an hour. Leaves nothing behind. Arguments: which parts (default: all of them).
source "$(dirname "$0")/lib.sh"
PARTS=" ${*:-kill labs sick engine disk simulation mutants} "
part() { [[ $PARTS == *" $1 "* ]]; }
faults() { cargo test --locked --quiet -p forge-cli --test faults -- --nocapture --test-threads 1 "$@"; }

if part kill; then stage "every point once" faults kill::; fi
if part labs; then stage "every point, real labs" faults --ignored real_labs; fi
if part sick; then stage "an engine that is slow, silent or cut off" faults --include-ignored sick::; fi
if part engine; then stage "an engine of its own, killed and robbed of an image" faults --ignored chaos::an_; fi
if part disk; then stage "a full disk" faults --ignored a_full_disk; fi
if part simulation; then
  stage "simulation, ${FORGE_SIM_SEEDS:=0..10000}" env FORGE_SIM_SEEDS="$FORGE_SIM_SEEDS" cargo test --locked --quiet -p forge-core --lib forge::sim -- --nocapture
fi
if part mutants; then stage mutants scripts/fuzz.sh mutants; fi
printf '\n%sPASSED%s %s\n' "$GREEN" "$OFF" "$(IFS=,; echo "${STAGES[*]}")"
