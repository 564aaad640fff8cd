set -eu
vtysh -c 'configure terminal' \
  -c 'ip route {{office}} {{r2.eth2}}' \
  -c 'ip route {{core.0}} {{r2.eth2}}' \
  -c 'ip route {{core.3}} {{r4.eth1}}' \
  -c 'end' -c 'write memory'
