set -eu
# Close the old door only when the keys, which admin brings, are there.
for _ in $(seq 100); do
  su {{people.0}} -c 'grep -qs oncall ~/.ssh/authorized_keys' && break
  sleep 0.2
done
cat > /etc/ssh/sshd_config <<'CONF'
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication yes
PubkeyAuthentication yes
AllowUsers {{people.0}} root
MaxAuthTries 3
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
