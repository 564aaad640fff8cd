# May the holder of an access token use this part of Forge?
# input: token {capability, expires, tenant, tracks}, wanted {capability, track}, now, blocked_tenants
# (times in Unix milliseconds)
package frostgate.forge.access

import rego.v1

default allow := false

allow if count(reasons) == 0

decision := {"allow": allow, "reasons": reasons}

capabilities := {"labs.read", "labs.run", "results.read", "results.submit", "class.manage", "policy.read"}

reasons contains sprintf("“%v” is not something a token can allow.", [object.get(object.get(input, "token", {}), "capability", "")]) if {
	not input.token.capability in capabilities
}

reasons contains "The token allows something else than what is wanted." if {
	input.token.capability in capabilities
	not input.token.capability == input.wanted.capability
}

reasons contains "The token has expired; ask for a new one." if {
	not unexpired
}

reasons contains "The token belongs to no organisation." if {
	not is_string(input.token.tenant)
}

reasons contains "This organisation has been blocked." if {
	input.token.tenant in input.blocked_tenants
}

reasons contains "It is not known which organisations are blocked." if {
	not is_array(input.blocked_tenants)
}

reasons contains sprintf("The token is not for the track “%v”.", [object.get(object.get(input, "wanted", {}), "track", "")]) if {
	not input.wanted.track in input.token.tracks
}

unexpired if {
	is_number(input.token.expires)
	input.now > 0
	input.token.expires > input.now
}
