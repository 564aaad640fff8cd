set -eu
for _ in $(seq 100); do
  su {{people.0}} -c 'grep -qs oncall ~/.ssh/authorized_keys' && break
  sleep 0.2
done
# The attacker gets nothing any more, so the server must be safe.
printf 'DenyUsers *@%s\n' '{{attacker.eth0}}' >> /etc/ssh/sshd_config
sshd -t
before=$(grep -c 'Server listening' /var/log/sshd.log)
pkill -HUP -o sshd
# sshd starts over in its own time.
timeout 20 sh -c 'until [ "$(grep -c "Server listening" /var/log/sshd.log)" -gt "$0" ]; do sleep 0.1; done' "$before"
