# The guard; guard.rs says what for. Runs in the host's network and PID namespaces with NET_ADMIN and nothing else, reads nothing but
# /proc, and is told nothing. Its own title says how it stands: "forge-guard: holds" or "forge-guard: failed WORDS".
# The table belongs to the nft process that made it (NFT_TABLE_F_OWNER, Linux 5.12): nobody else can change or flush it, and
# the kernel removes it the moment that process ends, however it ends. Only modules of perl-base.
use strict;
use warnings;
use POSIX qw(:sys_wait_h _exit);

# Seconds without any lab before it goes, and between two looks.
use constant { IDLE => 30, PAUSE => 5 };
my $table = "forge-guard-$$";
$0 = 'forge-guard: begins';

sub fail {
    my $words = join ' ', @_;
    $words =~ s/\s+/ /g;
    print STDERR "$words\n";
    $0 = 'forge-guard: failed ' . substr $words, 0, 200;
    # Long enough for whoever waits to read it.
    sleep PAUSE;
    exit 1;
}

# Any process of that name keeps us here; a lab that pretends only keeps its own guard.
sub needed {
    opendir my $proc, '/proc' or fail("/proc: $!");
    for my $pid (grep { /^\d+$/ } readdir $proc) {
        open my $fh, '<', "/proc/$pid/cmdline" or next;
        return 1 if (readline($fh) // '') =~ /^forge-fabric\0/;
    }
    return 0;
}

sub told { open my $fh, '<', '/run/guard.err' or return ''; local $/; return readline($fh) // '' }

pipe my $orders, my $tongue or fail("pipe: $!");
my $nft = fork // fail("fork: $!");
if (!$nft) {
    close $tongue;
    open STDIN, '<&', $orders or _exit(1);
    open STDOUT, '>', '/dev/null' or _exit(1);
    open STDERR, '>', '/run/guard.err' or _exit(1);
    exec 'nft', '-i' or _exit(127);
}
close $orders;
syswrite $tongue, <<"NFT";
add table ip $table { flags owner; }
add chain ip $table out { type filter hook output priority -300; }
add counter ip $table dropped
add rule ip $table out icmp type destination-unreachable icmp code host-unreachable counter name dropped drop
NFT

# Believed when the kernel lists it, and not before.
my $holds = 0;
for (1 .. 200) {
    waitpid($nft, WNOHANG) == 0 or fail('nft ended:', told());
    if (`nft list chain ip $table out 2>&1` =~ /host-unreachable counter name "dropped" drop/) { $holds = 1; last }
    last if told() =~ /Error/;
    select undef, undef, undef, 0.01;
}
$holds or fail('the kernel did not take the rule:', told());
$0 = 'forge-guard: holds';

my $idle = 0;
while ($idle < IDLE) {
    sleep PAUSE;
    waitpid($nft, WNOHANG) == 0 or fail('nft ended:', told());
    $idle = needed() ? 0 : $idle + PAUSE;
}
