# Is there room for one more run?
# input: mode (practice | plan), plan, blocked, block_reason, request {cpu, memory_mb, pids, disk_mb},
#        machine {cpus, memory_mb, disk_free_mb, disk_floor_mb (0: the policy's own),
#        memory_free_mb, memory_floor_mb (likewise)},
#        usage {today, last_minute, concurrent, cpu, memory_mb} of the subject,
#        machine_usage {concurrent, cpu, memory_mb, pids} of everybody
# (cpu in CPUs, memory and disk in MiB, promised to runs that are alive)
package frostgate.forge.quota

import rego.v1

default allow := false

allow if count(reasons) == 0

decision := {"allow": allow, "reasons": reasons}

plans := {
	"free": {"per_day": 5, "at_once": 1, "cpu": 1, "memory_mb": 512, "per_minute": 2},
	"basic": {"per_day": 20, "at_once": 2, "cpu": 2, "memory_mb": 1024, "per_minute": 5},
	"standard": {"per_day": 50, "at_once": 5, "cpu": 4, "memory_mb": 2048, "per_minute": 10},
	"premium": {"per_day": 200, "at_once": 10, "cpu": 8, "memory_mb": 8192, "per_minute": 30},
	"enterprise": {"per_day": 1000, "at_once": 50, "cpu": 16, "memory_mb": 16384, "per_minute": 100},
}

# Alone on a laptop, and for all labs together: what the machine can carry. A CPU limit is a ceiling that labs rarely reach, so four times the
# machine's processors may be promised; memory is promised once, and a quarter of it stays for everything else. Half of the
# 32768 processes that a small kernel has; whatever labs write, a GiB of the disk stays free; and nothing more starts where other
# programs have left so little memory that the machine is about to stand still.
machine := {
	"at_once": max([1, min([16, floor(input.machine.memory_mb / 512)])]),
	"cpu": input.machine.cpus * 4,
	"memory_mb": floor((input.machine.memory_mb * 3) / 4),
	"per_minute": 60,
	"pids": 16384,
	"disk_floor_mb": max([1024, input.machine.disk_floor_mb]),
	"memory_floor_mb": max([256, input.machine.memory_floor_mb]),
} if whole

limits := machine if input.mode == "practice"

limits := plans[input.plan] if input.mode == "plan"

whole if {
	is_number(input.request.cpu)
	is_number(input.request.memory_mb)
	input.request.cpu > 0
	input.request.memory_mb > 0
	every key in ["today", "last_minute", "concurrent", "cpu", "memory_mb"] {
		counted(input.usage[key])
	}
	counted(input.request.pids)
	counted(input.request.disk_mb)
	every key in ["concurrent", "cpu", "memory_mb", "pids"] {
		counted(input.machine_usage[key])
	}
	counted(input.machine.disk_free_mb)
	counted(input.machine.disk_floor_mb)
	counted(input.machine.memory_free_mb)
	counted(input.machine.memory_floor_mb)
	counted(input.machine.cpus)
	counted(input.machine.memory_mb)
}

counted(n) if {
	is_number(n)
	n >= 0
}

reasons contains "It cannot be told what is in use, so nothing more is started." if not whole

reasons contains "No limits are known here: neither practice on this machine nor a known plan." if {
	whole
	not limits
}

reasons contains "This account has been blocked from starting labs; ask your instructor." if {
	input.blocked == true
	not is_string(object.get(input, "block_reason", null))
}

reasons contains sprintf("This account has been blocked from starting labs: %v. Ask your instructor.", [trim_right(input.block_reason, ".")]) if {
	input.blocked == true
}

reasons contains "It is not known whether this account has been blocked." if {
	not is_boolean(input.blocked)
}

reasons contains sprintf("The %v plan allows %v labs a day; today's are used up.", [input.plan, limits.per_day]) if {
	input.usage.today >= limits.per_day
}

reasons contains sprintf("%v labs are alive already, and %v at once are allowed here. Stop one first.", [input.usage.concurrent, limits.at_once]) if {
	input.usage.concurrent >= limits.at_once
}

reasons contains sprintf("%v labs were started within a minute; wait a little.", [input.usage.last_minute]) if {
	input.usage.last_minute >= limits.per_minute
}

reasons contains sprintf("The lab may use %v CPUs; with those that are alive that would be %v of the %v allowed here.", [input.request.cpu, input.usage.cpu + input.request.cpu, limits.cpu]) if {
	whole
	input.usage.cpu + input.request.cpu > limits.cpu
}

reasons contains sprintf("The lab needs %v MiB of memory; with those that are alive that would be %v of the %v MiB allowed here.", [input.request.memory_mb, input.usage.memory_mb + input.request.memory_mb, limits.memory_mb]) if {
	whole
	input.usage.memory_mb + input.request.memory_mb > limits.memory_mb
}

# Whatever the plan: the laptop stays usable.
reasons contains sprintf("All labs together would need %v MiB, more than the %v MiB this machine can give them.", [input.machine_usage.memory_mb + input.request.memory_mb, machine.memory_mb]) if {
	whole
	input.machine_usage.memory_mb + input.request.memory_mb > machine.memory_mb
}

reasons contains sprintf("%v labs are alive on this machine, as many as it can carry. One must be stopped first.", [input.machine_usage.concurrent]) if {
	input.usage.concurrent < limits.at_once
	input.machine_usage.concurrent >= machine.at_once
}

reasons contains sprintf("All labs together would be promised %v CPUs, more than the %v this machine can promise.", [input.machine_usage.cpu + input.request.cpu, machine.cpu]) if {
	whole
	input.usage.cpu + input.request.cpu <= limits.cpu
	input.machine_usage.cpu + input.request.cpu > machine.cpu
}

reasons contains sprintf("All labs together might run %v processes, more than the %v this machine can give them.", [input.machine_usage.pids + input.request.pids, machine.pids]) if {
	whole
	input.machine_usage.pids + input.request.pids > machine.pids
}

reasons contains sprintf("The lab may write %v MiB and %v MiB of the disk must stay free, but only %v MiB are.", [input.request.disk_mb, machine.disk_floor_mb, input.machine.disk_free_mb]) if {
	whole
	input.machine.disk_free_mb - input.request.disk_mb < machine.disk_floor_mb
}

reasons contains sprintf("Only %v MiB of this machine's memory are free, less than the %v MiB that must be before a lab starts. Close a large program or stop a lab.", [input.machine.memory_free_mb, machine.memory_floor_mb]) if {
	input.machine.memory_free_mb < machine.memory_floor_mb
}
