# Words that several gates share.
package frostgate.forge.vocabulary

import rego.v1

tracks := {"netplus", "ccna", "cissp"}

# How demanding a lab is, and the plans a subject can have, least first.
levels := ["foundation", "intermediate", "advanced"]

plans := ["free", "basic", "standard", "premium", "enterprise"]

# A lab's tier is a level, or the plan it was made for.
tiers := {t | some t in array.concat(levels, plans)}

# What each plan entitles to.
entitled := {
	"free": {"foundation", "free"},
	"basic": {"foundation", "intermediate", "free", "basic"},
	"standard": tiers - {"premium", "enterprise"},
	"premium": tiers - {"enterprise"},
	"enterprise": tiers,
}
