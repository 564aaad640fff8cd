# Counters of all nodes once a second, from one process that forks nothing.
# Input: a line "name pid container" per node, then an empty line; a new list replaces the old one at any time. Ends with its input.
# Output, per second:  T <milliseconds>
#                      P <port> <rx bytes> <rx packets> <tx bytes> <tx packets> <carrier 0|1>   as the fabric's side sees it
#                      N <node> <cpu nanoseconds> <memory bytes> <pids>
#                      E
# The cgroup files are those that the container itself is shown (/sys/fs/cgroup in its root), version 1 or 2.
use strict;
use warnings;
use POSIX ();

$| = 1;
my (@nodes, @next);
my ($input, $told) = ('', 0);

sub value { open my $fh, '<', $_[0] or return; local $/; my $v = <$fh>; return $v }
sub first { for my $path (@_) { my $v = value($path); return $v if defined $v } return }

sub sample {
    my $out = 'T ' . (POSIX::times())[0] * 10 . "\n";
    for my $line (split /\n/, value('/proc/self/net/dev') // '') {
        next unless $line =~ /^\s*(p\d+\.\d+):\s*(.*)/;
        my ($port, @f) = ($1, split ' ', $2);
        my $carrier = value("/sys/class/net/$port/carrier") // 0;
        $out .= "P $port $f[0] $f[1] $f[8] $f[9] " . ($carrier =~ /^1/ ? 1 : 0) . "\n";
    }
    for my $node (@nodes) {
        my ($name, $pid, $container) = @$node;
        next if index(value("/proc/$pid/cgroup") // '', $container) < 0;
        my $c = "/proc/$pid/root/sys/fs/cgroup";
        my ($cpu, $memory, $cache);
        if (defined(my $stat = value("$c/cpu.stat")) && -e "$c/memory.current") {
            $cpu = $stat =~ /^usage_usec (\d+)/m ? $1 * 1000 : 0;
            $memory = value("$c/memory.current") // 0;
            $cache = (value("$c/memory.stat") // '') =~ /^inactive_file (\d+)/m ? $1 : 0;
        } else {
            $cpu = first("$c/cpuacct/cpuacct.usage", "$c/cpu,cpuacct/cpuacct.usage") // 0;
            $memory = value("$c/memory/memory.usage_in_bytes") // 0;
            $cache = (value("$c/memory/memory.stat") // '') =~ /^total_inactive_file (\d+)/m ? $1 : 0;
        }
        my $pids = first("$c/pids.current", "$c/pids/pids.current") // 0;
        $memory = $memory > $cache ? $memory - $cache : 0;
        $out .= sprintf "N %s %.0f %.0f %d\n", $name, $cpu, $memory, $pids;
    }
    syswrite STDOUT, "${out}E\n" or exit;
}

my $due = 0;
while (1) {
    my $left = $due - (POSIX::times())[0] / 100;
    $left = 0 if $left < 0;
    my $read = '';
    vec($read, 0, 1) = 1;
    if (select($read, undef, undef, $left) > 0) {
        sysread(STDIN, $input, 4096, length $input) or exit;
        while ($input =~ s/^(.*)\n//) {
            if ($1 eq '') { @nodes = @next; @next = (); $told = 1 } else { push @next, [split / /, $1] }
        }
        next;
    }
    sample() if $told;
    # Whether the time was waited for or had passed already: a second sample at once would have no time to count in.
    $due = (POSIX::times())[0] / 100 + 1;
}
