# Carries bytes between stdin/stdout and a TCP port of a node, entering its network namespace and nothing else.
# Arguments: pid container port. Connects to whichever local address something listens on: any address, then loopback, then others.
use strict;
use warnings;
use Socket;
use POSIX ();

my ($pid, $container, $port) = @ARGV;
my $SETNS = (POSIX::uname())[4] =~ /^(aarch64|arm64|riscv64)$/ ? 268 : 308;
sub give_up { print STDERR "$_[0]\n"; exit $_[1] }

open my $ns, '<', "/proc/$pid/ns/net" or give_up('the node does not run', 3);
open my $cgroup, '<', "/proc/$pid/cgroup" or give_up('the node does not run', 3);
index(do { local $/; <$cgroup> } // '', $container) >= 0 or give_up('the node does not run', 3);

my (@four, @six);
for my $family (['tcp', \@four], ['tcp6', \@six]) {
    open my $table, '<', "/proc/$pid/net/$family->[0]" or next;
    while (<$table>) { push @{ $family->[1] }, $1 if /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]+ 0A / && hex $2 == $port }
}
# The kernel prints addresses as 32-bit words in the machine's byte order.
sub bytes_of { return join '', map { pack 'L', hex } $_[0] =~ /.{8}/g }
my @targets;
for my $address (map { bytes_of($_) } @four) {
    $address = "\x7f\0\0\1" if $address eq "\0" x 4;
    push @targets, [AF_INET, pack_sockaddr_in($port, $address), $address =~ /^\x7f/ ? 0 : 1];
}
for my $address (map { bytes_of($_) } @six) {
    my $mapped = $address =~ /^\0{10}\xff\xff/;
    next if $mapped;
    if ($address eq "\0" x 16) { push @targets, [AF_INET, pack_sockaddr_in($port, "\x7f\0\0\1"), 0]; $address = "\0" x 15 . "\1" }
    push @targets, [AF_INET6, pack_sockaddr_in6($port, $address), $address eq "\0" x 15 . "\1" ? 0 : 2];
}
@targets or give_up("nothing listens on TCP port $port", 4);

syscall($SETNS, fileno $ns, 0x40000000) == 0 or give_up("setns: $!", 5);
my $s;
for my $target (sort { $a->[2] <=> $b->[2] } @targets) {
    socket my $try, $target->[0], SOCK_STREAM, 0 or next;
    if (connect $try, $target->[1]) { $s = $try; last }
}
$s or give_up("nothing answers on TCP port $port: $!", 4);
setsockopt $s, 6, 1, 1;    # TCP_NODELAY

binmode $_ for \*STDIN, \*STDOUT;
# One process per direction, so that neither can hold the other up.
sub pump {
    my ($from, $to) = @_;
    while (my $n = sysread $from, my $chunk, 65536) {
        for (my $at = 0; $at < $n;) { $at += syswrite($to, $chunk, $n - $at, $at) // return }
    }
}
$SIG{PIPE} = 'IGNORE';
my $up = fork // give_up("fork: $!", 5);
if (!$up) { pump(\*STDIN, $s); shutdown $s, 1; POSIX::_exit(0) }
pump($s, \*STDOUT);
kill 'KILL', $up;
