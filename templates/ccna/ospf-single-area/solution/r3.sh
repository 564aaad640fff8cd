set -eu
vtysh -c 'configure terminal' \
  -c 'interface eth1' -c 'ip ospf network point-to-point' -c 'exit' \
  -c 'interface eth2' -c 'ip ospf network point-to-point' -c 'exit' \
  -c 'router ospf' -c 'ospf router-id {{rid.2}}' \
  -c 'network {{core.1}} area 0' \
  -c 'network {{core.2}} area 0' \
  -c 'network {{rid.2}}/32 area 0' \
  -c 'end' -c 'write memory'
