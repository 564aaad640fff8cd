set -eu
vtysh -c 'configure terminal' \
  -c 'interface eth1' -c 'ip ospf network point-to-point' -c 'exit' \
  -c 'interface eth2' -c 'ip ospf network point-to-point' -c 'exit' \
  -c 'router ospf' -c 'ospf router-id {{rid.1}}' \
  -c 'network {{core.0}} area 0' \
  -c 'network {{core.1}} area 1' \
  -c 'network {{rid.1}}/32 area 0' \
  -c 'end' -c 'write memory'
