set -eu
for _ in $(seq 100); do
  su {{people.0}} -c 'grep -qs oncall ~/.ssh/authorized_keys' && break
  sleep 0.2
done
# The attacker gets nothing any more, so the server must be safe.
printf 'DenyUsers *@%s\n' '{{attacker.eth0}}' >> /etc/ssh/sshd_config
sshd -t
pkill -HUP -o sshd
