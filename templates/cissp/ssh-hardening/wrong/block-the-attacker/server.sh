set -eu
# The attacker is gone from the log, so the server must be safe.
ip route add blackhole {{attacker.eth0}}/32
