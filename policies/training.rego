# Does the lab keep to what its track may do? (Asked at intake and again when it is launched.)
# input: track, attacker_max_exploits, egress {mode, profile}, approved_profiles
package frostgate.forge.training

import rego.v1

default allow := false

allow if count(reasons) == 0

decision := {"allow": allow, "reasons": reasons}

most_exploits := {"netplus": 0, "ccna": 0, "cissp": 5}

reasons contains sprintf("For the track “%v” there are no training rules.", [object.get(input, "track", "")]) if {
	not most_exploits[input.track]
}

reasons contains "It is not said how many exploits the attacker may run." if {
	not is_count(input.attacker_max_exploits)
}

reasons contains sprintf("An attacker may run at most %v exploits in a lab of the %v track; this one allows %v.", [most_exploits[input.track], input.track, input.attacker_max_exploits]) if {
	is_count(input.attacker_max_exploits)
	input.attacker_max_exploits > most_exploits[input.track]
}

reasons contains "A lab must be closed to the outside (egress: deny) or open to an approved list only." if {
	not input.egress.mode in {"deny", "allowlist"}
}

reasons contains sprintf("The lab wants to reach out by the profile “%v”, which nobody has approved.", [object.get(input.egress, "profile", "")]) if {
	input.egress.mode == "allowlist"
	not input.egress.profile in input.approved_profiles
}

is_count(n) if {
	n >= 0
	n == floor(n)
}
