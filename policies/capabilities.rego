# Which Linux capabilities may the lab's nodes have?
# input: track, tier, nodes [{name, role, caps, seccomp}]   (caps: all the node gets, without CAP_)
package frostgate.forge.capabilities

import data.frostgate.forge.vocabulary
import rego.v1

default allow := false

allow if count(reasons) == 0

decision := {"allow": allow, "reasons": reasons}

# They reach beyond the container, whatever the role.
never := {"SYS_MODULE", "SYS_TIME", "SYS_PTRACE", "SYS_RAWIO", "MKNOD"}

# What a node needs to configure and look at its own network, and its daemons to give up being root.
ordinary := {
	"NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE", "CHOWN", "FOWNER", "FSETID", "SETUID", "SETGID", "SETPCAP", "SYS_CHROOT",
	"KILL", "AUDIT_WRITE", "NET_BROADCAST",
}

# FRR's daemons do not start without SYS_ADMIN.
by_role := {
	"learner": set(),
	"client": set(),
	"server": {"SYS_NICE"},
	"aux": set(),
	"router": {"SYS_ADMIN", "SYS_NICE"},
	"switch": {"SYS_NICE"},
	"attacker": set(),
	"defender": {"SYS_NICE"},
	"gateway": set(),
}

# Hardening labs seal files and lock memory.
by_track := {"cissp": {"LINUX_IMMUTABLE", "IPC_LOCK"}}

# Root in a node may override file permissions only where the lab asks for it, in these tiers.
override_tiers := {"foundation", "intermediate", "advanced", "standard", "premium", "enterprise"}

reasons contains sprintf("There is no track named “%v”.", [object.get(input, "track", "")]) if {
	not input.track in vocabulary.tracks
}

reasons contains sprintf("There is no tier named “%v”.", [object.get(input, "tier", "")]) if {
	not input.tier in vocabulary.tiers
}

reasons contains "The lab's nodes are not known." if {
	not listed
}

reasons contains "A node has no name." if {
	some node in input.nodes
	not is_string(node.name)
}

reasons contains sprintf("Node %v has the role “%v”, which does not exist.", [object.get(node, "name", "?"), object.get(node, "role", "")]) if {
	some node in input.nodes
	not by_role[node.role]
}

reasons contains sprintf("It is not said which capabilities node %v gets.", [object.get(node, "name", "?")]) if {
	some node in input.nodes
	not is_array(node.caps)
}

reasons contains sprintf("Node %v asks for %v, which no lab node ever gets: it reaches beyond the container.", [node.name, cap]) if {
	some node in input.nodes
	some cap in node.caps
	cap in never
}

reasons contains sprintf("Node %v asks for DAC_OVERRIDE, which labs of tier %v may not have.", [node.name, input.tier]) if {
	some node in input.nodes
	"DAC_OVERRIDE" in node.caps
	not input.tier in override_tiers
}

reasons contains sprintf("Node %v may have SYS_ADMIN only together with the router's seccomp profile.", [node.name]) if {
	some node in input.nodes
	node.role == "router"
	"SYS_ADMIN" in node.caps
	not node.seccomp == "router"
}

reasons contains sprintf("Node %v asks for %v, which a node of role %v in the %v track does not get.", [node.name, cap, node.role, input.track]) if {
	some node in input.nodes
	some cap in node.caps
	not cap in never
	not cap == "DAC_OVERRIDE"
	not cap in ordinary
	not cap in by_role[node.role]
	not cap in by_track[input.track]
}

listed if {
	is_array(input.nodes)
	count(input.nodes) > 0
}
