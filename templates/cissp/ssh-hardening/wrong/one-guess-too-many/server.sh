set -eu
# Close the old door only when the keys, which admin brings, are there.
for _ in $(seq 100); do
  su {{people.0}} -c 'grep -qs oncall ~/.ssh/authorized_keys' && break
  sleep 0.2
done
cat > /etc/ssh/sshd_config <<'CONF'
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
AuthenticationMethods publickey
AllowUsers {{people.0}}
MaxAuthTries 4
LoginGraceTime {{grace}}
UsePAM yes
X11Forwarding no
PrintMotd no
Subsystem sftp /usr/lib/openssh/sftp-server
CONF
sshd -t
before=$(grep -c 'Server listening' /var/log/sshd.log)
pkill -HUP -o sshd
# sshd starts over in its own time.
timeout 20 sh -c 'until [ "$(grep -c "Server listening" /var/log/sshd.log)" -gt "$0" ]; do sleep 0.1; done' "$before"
