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

# Trimming takes off only what is in the set, so nothing is left exactly when all of it is. (A regular expression
# would have to be compiled for each decision.)
is_digest(text) if {
	count(text) == 64
	trim(text, "0123456789abcdef") == ""
}

named(word) if {
	count(word) > 0
	count(word) <= 64
	trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:-") == ""
}
