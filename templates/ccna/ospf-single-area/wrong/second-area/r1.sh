set -eu
vtysh -c 'configure terminal' \
  -c 'interface eth1' -c 'ip ospf network point-to-point' -c 'exit' \
  -c 'interface eth2' -c 'ip ospf network point-to-point' -c 'exit' \
  -c 'interface eth3' -c 'ip ospf passive' -c 'exit' \
  -c 'router ospf' -c 'ospf router-id {{rid.0}}' \
  -c 'network {{core.0}} area 0' \
  -c 'network {{core.3}} area 0' \
  -c 'network {{office}} area 0' \
  -c 'network {{rid.0}}/32 area 0' \
  -c 'end' -c 'write memory'
