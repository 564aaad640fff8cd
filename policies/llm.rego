# May a change that a language model proposes be applied to this lab?
# input: proposal {digest, run, model, summary, risk, touches [], commands [{node, class, command}]},
#        signature {key, digest, valid}, canary {place, digest, passed}, approval null or {subject, role, digest},
#        spent (points used in this run so far)
# (the engine says whether the signature is valid and whether the trial in the copy passed; nothing here is taken from the model)
package frostgate.forge.llm

import data.frostgate.forge.action
import data.frostgate.forge.vocabulary
import rego.v1

default allow := false

allow if count(reasons) == 0

decision := {"allow": allow, "reasons": reasons}

# How bad it can get, least first.
risks := ["low", "medium", "high", "critical"]

rank := {risk: i | some i, risk in risks}

# What a class of actions is at least; looking is the only one that can be low.
implied := {"write": "medium", "execute": "medium", "network": "high", "privileged": "critical"}

most_commands := 10

most_characters := 2000

most_words := 500

# What a proposal may say it touches.
open_areas := {"file", "interface", "name", "route", "service"}

closed_areas := {"keys", "policies", "audit", "isolation"}

# The same by what the commands name, whatever the proposal says.
closed := {
	`(^|[/\s"'=])\.ssh(/|\s|$)|authorized_keys|ssh_host_|id_(rsa|ecdsa|ed25519)|\.pem\b|/etc/g?shadow|\bssh-keygen\b|\bgpg\b`: "keys",
	`\.rego\b|(^|[/\s"'])policies/`: "policies",
	`forge\.db|audit\.checkpoint|/var/log/audit|\bauditctl\b|\bhistory\s+-c\b`: "audit",
	`\b(nsenter|unshare|pivot_root|setcap|capsh|mount|umount|docker|dockerd|containerd|ctr|runc)\b|\bnetns\b|seccomp|apparmor|/proc/(1|sys)/|/sys/fs/cgroup`: "isolation",
}

secrets := {
	`-----BEGIN [A-Z ]*PRIVATE KEY`: "a private key",
	`\b(gh[pousr]_[A-Za-z0-9]{20,}|glpat-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.|v[1-4]\.(public|local)\.[A-Za-z0-9_-]{16,})`: "a token",
	`(?i)(password|passwd|passphrase|secret|api[_-]?key|token|psk)["']?\s*[=:]\s*["']?[^\s"']{4,}`: "a password",
	`://[^\s/:@]+:[^\s/@]+@`: "a password",
}

known := {
	"the question": {"proposal", "signature", "canary", "approval", "spent"},
	"the proposal": {"digest", "run", "model", "summary", "risk", "touches", "commands"},
	"the signature": {"key", "digest", "valid"},
	"the canary": {"place", "digest", "passed"},
	"the approval": {"subject", "role", "digest"},
	"a command": {"node", "class", "command"},
}

given contains ["the question", input]

given contains ["the proposal", input.proposal]

given contains ["the signature", input.signature]

given contains ["the canary", input.canary]

given contains ["the approval", input.approval] if not input.approval == null

given contains ["a command", command] if some command in input.proposal.commands

reasons contains sprintf("What stands in %v cannot be read.", [what]) if {
	some [what, value] in given
	not is_object(value)
}

reasons contains sprintf("Nobody knows what “%v” in %v means, so the answer is no.", [field, what]) if {
	some [what, value] in given
	is_object(value)
	some field, _ in value
	not field in known[what]
}

reasons contains "The proposal has no digest, so nobody could say later what was applied." if {
	not vocabulary.is_digest(input.proposal.digest)
}

reasons contains "It is not said which run the proposal is for." if {
	not vocabulary.named(input.proposal.run)
}

reasons contains "It is not known which model proposes this." if {
	not vocabulary.named(input.proposal.model)
}

reasons contains sprintf("The proposal does not say what it is for, in at most %v characters.", [most_words]) if {
	not said(input.proposal.summary, most_words)
}

reasons contains sprintf("“%v” is no class of risk; known are low, medium, high and critical.", [object.get(object.get(input, "proposal", {}), "risk", "")]) if {
	not input.proposal.risk in risks
}

reasons contains "A critical change is never applied, whoever approves it." if {
	input.proposal.risk == "critical"
}

reasons contains sprintf("Command %v is of class %v, which makes the change at least %v; the proposal calls it %v.", [i + 1, command.class, implied[command.class], input.proposal.risk]) if {
	some i, command in input.proposal.commands
	rank[implied[command.class]] > rank[input.proposal.risk]
}

reasons contains sprintf("A proposal has 1 to %v commands.", [most_commands]) if {
	not bounded
}

reasons contains sprintf("Command %v cannot be read: it needs a node, a class of actions, and 1 to %v characters.", [i + 1, most_characters]) if {
	some i, command in input.proposal.commands
	not readable(command)
}

reasons contains sprintf("Command %v %v.", [i + 1, what]) if {
	some i, command in input.proposal.commands
	some pattern, what in action.dangerous
	regex.match(pattern, command.command)
}

reasons contains sprintf("Command %v touches %v, which no model changes.", [i + 1, what]) if {
	some i, command in input.proposal.commands
	some pattern, what in closed
	regex.match(pattern, command.command)
}

reasons contains sprintf("Command %v holds what looks like %v.", [i + 1, what]) if {
	some i, command in input.proposal.commands
	some pattern, what in secrets
	regex.match(pattern, command.command)
}

reasons contains sprintf("The summary holds what looks like %v.", [what]) if {
	some pattern, what in secrets
	regex.match(pattern, input.proposal.summary)
}

reasons contains "It is not said what the proposal touches." if {
	not count(listed) > 0
}

reasons contains sprintf("The proposal touches %v, which no model changes.", [area]) if {
	some area in listed
	area in closed_areas
}

reasons contains sprintf("“%v” is nothing that a proposal can touch.", [area]) if {
	some area in listed
	not area in open_areas
	not area in closed_areas
}

reasons contains "It is not known what this run has done so far." if {
	not counted
}

reasons contains sprintf("The commands cost %v points together, and of the run's %v only %v are left.", [cost, action.budget, action.budget - input.spent]) if {
	counted
	input.spent + cost > action.budget
}

reasons contains "The proposal is not signed by a key of this machine." if {
	not signed
}

reasons contains "The signature is for another proposal." if {
	not input.signature.digest == input.proposal.digest
}

reasons contains "It has not been tried in a throw-away copy of the lab." if {
	not input.canary.place == "copy"
}

reasons contains "The trial in the copy did not pass." if {
	not input.canary.passed == true
}

reasons contains "The trial in the copy was of another proposal." if {
	not input.canary.digest == input.proposal.digest
}

reasons contains "A change of high risk needs the approval of a person." if {
	input.proposal.risk == "high"
	not approved
}

reasons contains "The approval is for another proposal." if {
	is_object(input.approval)
	not input.approval.digest == input.proposal.digest
}

said(text, most) if {
	count(trim_space(text)) > 0
	count(text) <= most
}

bounded if {
	is_array(input.proposal.commands)
	count(input.proposal.commands) > 0
	count(input.proposal.commands) <= most_commands
}

readable(command) if {
	vocabulary.named(command.node)
	action.costs[command.class]
	said(command.command, most_characters)
}

listed := input.proposal.touches if is_array(input.proposal.touches)

counted if {
	is_number(input.spent)
	input.spent >= 0
}

cost := sum([action.costs[command.class] | some command in input.proposal.commands])

signed if {
	input.signature.valid == true
	vocabulary.named(input.signature.key)
}

# A person: named, in a role that people have, and not the model under its own name.
approved if {
	vocabulary.named(input.approval.subject)
	not lower(input.approval.subject) in {"anonymous", "unknown", "guest"}
	not input.approval.subject == input.proposal.model
	input.approval.role in {"learner", "instructor"}
}
