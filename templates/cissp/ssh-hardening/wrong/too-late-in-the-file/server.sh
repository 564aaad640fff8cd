set -eu
# Close the old door only when the keys, which admin brings, are there.
for _ in $(seq 100); do
  su {{people.0}} -c 'grep -qs oncall ~/.ssh/authorized_keys' && break
  sleep 0.2
done
cat >> /etc/ssh/sshd_config <<'CONF'

# Hardening
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers {{people.0}}
MaxAuthTries 3
LoginGraceTime {{grace}}
CONF
sshd -t
pkill -HUP -o sshd
