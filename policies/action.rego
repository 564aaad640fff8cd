# May this actor do this in a run?
# input: actor {subject, role}, action {name, class, command}, spent (points that this role has used in this run so far)
package frostgate.forge.action

import rego.v1

default allow := false

allow if count(reasons) == 0

decision := {"allow": allow, "reasons": reasons}

costs := {"read_only": 1, "write": 5, "execute": 10, "network": 15, "privileged": 50}

budget := 1000

roles := {"learner", "instructor", "grader", "attacker", "defender", "system"}

# Commands that are never part of an exercise: what they aim at is the machine below the lab.
dangerous := {
	`(^|[\s;&|])rm\s+(-\S+\s+)*--no-preserve-root`: "deletes everything",
	`(^|[\s;&|])rm\s+(-\S+\s+)*(-[a-zA-Z]*[rR][a-zA-Z]*|--recursive)\s+(-\S+\s+)*/(\*|\s|$)`: "deletes everything",
	`:\s*\(\s*\)\s*\{.*:\s*\|\s*:.*\}`: "is a fork bomb",
	`(^|[\s;&|])mkfs(\.\w+)?\s`: "formats a disk",
	`(^|[\s;&|])dd\s.*of=/dev/(sd|vd|nvme|xvd|mmcblk|dm-)`: "overwrites a disk",
	`>\s*/dev/(sd|vd|nvme|xvd|mmcblk|dm-)`: "overwrites a disk",
	`docker\.sock|containerd\.sock`: "reaches for the container engine",
	`/proc/(sysrq-trigger|kcore|1/root)`: "reaches for the machine below the lab",
	`(^|[\s;&|])(insmod|modprobe|kexec)(\s|$)`: "changes the kernel",
	`/sys/(kernel/(uevent_helper|security)|fs/cgroup/.*release_agent)`: "reaches for the machine below the lab",
}

reasons contains "It is not known who wants to do this." if {
	not known_actor
}

reasons contains sprintf("“%v” is not a role that acts in labs.", [input.actor.role]) if {
	known_actor
	not input.actor.role in roles
}

# Whatever stands where the action should, so that the reason below never fails to be given.
default class := ""

class := input.action.class

reasons contains sprintf("“%v” is not a class of actions.", [class]) if {
	not costs[class]
}

reasons contains "Only an instructor, the grader or the app itself may take privileged actions." if {
	input.action.class == "privileged"
	not input.actor.role in {"instructor", "grader", "system"}
}

reasons contains "It is not known what this run has done so far." if {
	not counted
}

reasons contains sprintf("The run's budget of %v points is used up: %v spent, this would cost %v.", [budget, input.spent, costs[input.action.class]]) if {
	counted
	input.spent + costs[input.action.class] > budget
}

reasons contains "The command cannot be read." if {
	command := input.action.command
	not is_string(command)
}

reasons contains sprintf("The command %v.", [what]) if {
	some pattern, what in dangerous
	regex.match(pattern, input.action.command)
}

counted if {
	is_number(input.spent)
	input.spent >= 0
}

known_actor if {
	is_string(input.actor.subject)
	not lower(trim_space(input.actor.subject)) in {"", "anonymous", "unknown", "guest"}
	is_string(input.actor.role)
}
