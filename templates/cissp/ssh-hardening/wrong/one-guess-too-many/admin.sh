set -eu
# By password as long as it works: install both keys in the administrator's account.
ask=$HOME/.askpass   # /tmp does not run programs
printf '#!/bin/sh\necho "%s"\n' '{{adminpw}}' > "$ask"
chmod 700 "$ask"
{ cat /root/.ssh/id_ed25519.pub /root/oncall.pub; } | SSH_ASKPASS="$ask" SSH_ASKPASS_REQUIRE=force \
  ssh -o StrictHostKeyChecking=accept-new -o PubkeyAuthentication=no {{people.0}}@{{server.eth0}} \
  'umask 077 && mkdir -p ~/.ssh && cat >> ~/.ssh/authorized_keys'
rm -f "$ask"
