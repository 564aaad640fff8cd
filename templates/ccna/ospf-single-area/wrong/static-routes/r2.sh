set -eu
vtysh -c 'configure terminal' \
  -c 'ip route {{office}} {{r1.eth1}}' \
  -c 'ip route {{core.2}} {{r3.eth1}}' \
  -c 'ip route {{core.3}} {{r1.eth1}}' \
  -c 'end' -c 'write memory'
