# May this lab be started for this subject?
# input: mode (practice | plan), plan, subject, tenant, track, tier, template {id, version, digest, pin}
package frostgate.forge.spawn

import data.frostgate.forge.vocabulary
import rego.v1

default allow := false

allow if count(reasons) == 0

decision := {"allow": allow, "reasons": reasons}

reasons contains "It must be known whether this machine is used for practice or under a plan." if {
	not input.mode in {"practice", "plan"}
}

reasons contains sprintf("There is no track named “%v”; known are netplus, ccna and cissp.", [object.get(input, "track", "")]) if {
	not input.track in vocabulary.tracks
}

reasons contains sprintf("There is no tier named “%v”.", [object.get(input, "tier", "")]) if {
	not input.tier in vocabulary.tiers
}

reasons contains "Nobody is named as the one who starts this lab." if {
	not vocabulary.named(input.subject)
}

reasons contains "The lab is started for no organisation; on a machine of your own it is “local”." if {
	not vocabulary.named(input.tenant)
}

reasons contains sprintf("There is no plan named “%v”.", [object.get(input, "plan", "")]) if {
	input.mode == "plan"
	not input.plan in vocabulary.plans
}

reasons contains sprintf("Labs of tier %v are not part of the %v plan.", [input.tier, input.plan]) if {
	input.mode == "plan"
	input.plan in vocabulary.plans
	input.tier in vocabulary.tiers
	not input.tier in vocabulary.entitled[input.plan]
}

reasons contains "The lab's template has no digest, so nobody could say later which lab this was." if {
	not vocabulary.is_digest(input.template.digest)
}

reasons contains "The lab's files are not those that were pinned for this version; a changed lab needs a new version." if {
	vocabulary.is_digest(input.template.digest)
	not input.template.digest == input.template.pin
}

reasons contains "The lab's version is not of the form 1.2.3." if {
	not semver.is_valid(input.template.version)
}
