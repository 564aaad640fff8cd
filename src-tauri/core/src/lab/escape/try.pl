# A prisoner with every tool it may have. Tries what it is told, on every link it has, and says what came of it.
# Input, one a line: prefix P · onlink ADDRESS · default · KEY KIND ARGUMENT… · go. Output: tried KEY sent|partly|answered|refused WORDS.
# Only modules of perl-base, and ip, nft and openssl of the image.
use strict;
use warnings;
use POSIX ();
use Socket qw(:all);

use constant { AF_PACKET => 17, AF_VSOCK => 40, ALL => 3, BINDTODEVICE => 25, WAIT => 4, EINPROGRESS => 115, DONTWAIT => 0x40 };
$SIG{PIPE} = 'IGNORE';
# Whoever asked may be gone.
alarm 60;
# The C library asks once and waits a second.
$ENV{RES_OPTIONS} = 'timeout:1 attempts:1';
my ($prefix, @onlink, @plan, $everything) = ('');
while (defined(my $line = <STDIN>)) {
    my ($word, @rest) = split ' ', $line;
    next unless defined $word;
    last if $word eq 'go';
    if ($word eq 'prefix') { $prefix = $rest[0] }
    elsif ($word eq 'onlink') { push @onlink, $rest[0] }
    elsif ($word eq 'default') { $everything = 1 }
    else { push @plan, [$word, @rest] }
}

sub slurp { open my $fh, '<', $_[0] or return ''; my $text = <$fh> // ''; chomp $text; return $text }
my @links = map { { name => $_, index => slurp("/sys/class/net/$_/ifindex"), mac => pack 'H*', slurp("/sys/class/net/$_/address") =~ s/://gr } }
    grep { slurp("/sys/class/net/$_/type") eq '1' } sort grep { !/^\.|^lo$/ } do { opendir my $d, '/sys/class/net' or die; readdir $d };
for my $link (@links) {
    my ($address) = `ip -o -4 addr show dev $link->{name}` =~ /inet ([\d.]+)/;
    $link->{address} = $address // '0.0.0.0';
}
sub quietly { my $pid = fork; if (!$pid) { open STDOUT, '>', '/dev/null'; open STDERR, '>', '/dev/null'; exec @_ or POSIX::_exit(127) } waitpid $pid, 0; return $? == 0 }
# A prisoner is free to believe that everything lies on its link.
if ($everything) { my $metric = 100; quietly('ip', 'route', 'add', 'default', 'dev', $_->{name}, 'scope', 'link', 'metric', $metric++) for @links }
for my $address (@onlink) { quietly('ip', 'route', 'replace', "$address/32", 'dev', $_->{name}, 'scope', 'link') for @links ? $links[0] : () }

sub tried { my ($key, $word, $why) = @_; $why =~ s/\s+/ /g; syswrite STDOUT, "tried $key $word $why\n" }

# Runs it for each link; the best that came of any counts.
sub everywhere {
    my ($key, $do) = @_;
    return tried($key, 'refused', 'there is no link') unless @links;
    my ($sent, $answered, $why) = (0, '', '');
    for my $link (@links) {
        my $got = eval { $do->($link, "$prefix$key") };
        if (!defined $got) { $why = $@ =~ s/ at -e line .*//sr }
        else { $sent++; $answered = $got if $got ne '' }
    }
    return tried($key, 'answered', $answered) if $answered ne '';
    return tried($key, 'refused', $why) unless $sent;
    return tried($key, 'partly', "on $sent of " . @links . " links: $why") if $sent < @links;
    return tried($key, 'sent', 'on every link');
}

sub family { $_[0] =~ /:/ ? AF_INET6 : AF_INET }
sub address { my ($host, $port, $link) = @_; return $host =~ /:/ ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $host), $host =~ /^f[ef]/ ? $link->{index} : 0) : pack_sockaddr_in($port, inet_aton($host)) }
sub open_on {
    my ($family, $type, $proto, $link) = @_;
    socket my $s, $family, $type, $proto or die "socket: $!";
    setsockopt $s, SOL_SOCKET, BINDTODEVICE, $link->{name} or die "$link->{name}: $!" if $link;
    setsockopt $s, SOL_SOCKET, SO_BROADCAST, pack 'l', 1;
    return $s;
}
sub wait_for { my ($s, $seconds) = @_; my $read = ''; vec($read, fileno $s, 1) = 1; return select($read, undef, undef, $seconds) > 0 }
sub sum16 { my $sum = 0; $sum += $_ for unpack 'n*', $_[0] . (length($_[0]) % 2 ? "\0" : ''); $sum = ($sum >> 16) + ($sum & 0xffff) while $sum >> 16; return ~$sum & 0xffff }

sub ipv4 { my ($from, $to, $proto, $body) = @_; my $h = pack 'CCnnnCCna4a4', 0x45, 0, 20 + length $body, 0, 0, 64, $proto, 0, inet_aton($from), inet_aton($to); substr $h, 10, 2, pack 'n', sum16($h); return $h . $body }
sub udp { my ($from, $to, $body) = @_; return pack('nnnn', $from, $to, 8 + length $body, 0) . $body }
sub ipv6 { my ($from, $to, $next, $hops, $body) = @_; return pack('NnCC', 0x60000000, length $body, $next, $hops) . $from . $to . $body }
sub icmp6 { my ($from, $to, $body) = @_; substr $body, 2, 2, pack 'n', sum16($from . $to . pack('NN', length $body, 58) . $body); return ipv6($from, $to, 58, 255, $body) }
sub mac { pack 'H*', $_[0] =~ s/://gr }
sub local6 { my ($mac) = @_; my @m = unpack 'C6', $mac; return pack 'n4C8', 0xfe80, 0, 0, 0, $m[0] ^ 2, @m[1, 2], 0xff, 0xfe, @m[3 .. 5] }
my $ALL_NODES = inet_pton(AF_INET6, 'ff02::1');
my $ALL_ROUTERS = inet_pton(AF_INET6, 'ff02::2');

sub frame { my ($link, $bytes) = @_; my $s = open_on(AF_PACKET, SOCK_RAW, 256 * ALL); my $to = pack 'SnlSCCa8', AF_PACKET, ALL, $link->{index}, 1, 0, 6, substr($bytes, 0, 6); defined send $s, $bytes, 0, $to or die "frame: $!"; return $s }

# Each makes an Ethernet frame: link, tag, destination, address.
my %frames = (
    raw => sub { my ($l, $tag, $to) = @_; $to . $l->{mac} . "\x88\xb5" . $tag . "\0" x 40 },
    udp => sub { my ($l, $tag, $to, $ip) = @_; $to . $l->{mac} . "\x08\0" . ipv4($l->{address}, $ip, 17, udp(4000, 4001, $tag)) },
    vlan => sub { my ($l, $tag, $to, $ip) = @_; $to . $l->{mac} . "\x81\0\0\x02\x08\0" . ipv4($l->{address}, $ip, 17, udp(4000, 4001, $tag)) },
    spoof => sub { my ($l, $tag, $to, $ip) = @_; $to . "\x02\xf0\x0d\xf0\x0d\x01" . "\x08\0" . ipv4($ip, $ip, 17, udp(4000, 4001, $tag)) },
    arp => sub { my ($l, $tag, $to, $ip) = @_; "\xff" x 6 . $l->{mac} . "\x08\x06" . pack('nnCCn', 1, 0x800, 6, 4, 2) . $l->{mac} . inet_aton($ip) . "\xff" x 6 . inet_aton($ip) . $tag },
    # Of the lowest priority there is: no switch of the lab shall elect it.
    stp => sub { my ($l, $tag) = @_; my $b = "\x42\x42\x03" . "\0" x 5 . pack('na6Nna6nnnnn', 0xffff, $l->{mac}, 0, 0xffff, $l->{mac}, 0x8001, 0, 0x1400, 0x200, 0xf00) . $tag; "\x01\x80\xc2\0\0\0" . $l->{mac} . pack('n', length $b) . $b },
    lldp => sub { my ($l, $tag) = @_; "\x01\x80\xc2\0\0\x0e" . $l->{mac} . "\x88\xcc" . pack('nCa6', 0x0207, 4, $l->{mac}) . pack('nCa*', 0x0400 | 1 + length $tag, 7, $tag) . pack('nn', 0x0602, 120) . pack('n', 0) },
    # A router of lifetime 0 without a prefix: whoever believes it changes nothing.
    ra => sub { my ($l, $tag) = @_; my $me = local6($l->{mac}); "\x33\x33\0\0\0\x01" . $l->{mac} . "\x86\xdd" . icmp6($me, $ALL_NODES, pack('CCnCCnNN', 134, 0, 0, 64, 0, 0, 0, 0) . pack('CC', 14, 2) . $tag) },
    rs => sub { my ($l, $tag) = @_; my $me = local6($l->{mac}); "\x33\x33\0\0\0\x02" . $l->{mac} . "\x86\xdd" . icmp6($me, $ALL_ROUTERS, pack('CCnN', 133, 0, 0, 0) . pack('CC', 14, 2) . $tag) },
);

sub question { my ($tag, $type) = @_; return pack('nnnnnn', 0x4d2, 0x100, 1, 0, 0, 0) . join('', map { pack 'C/a*', $_ } $tag, 'exfil', 'test') . "\0" . pack('nn', $type, 1) }
my %wants = (A => 1, TXT => 16);
my %payload = (
    plain => sub { $_[0] },
    http => sub { "GET /latest/meta-data/$_[0] HTTP/1.1\r\nHost: x\r\n\r\n" },
    docker => sub { "GET /$_[0]/_ping HTTP/1.0\r\n\r\n" },
    dns => sub { pack 'n/a*', question($_[0], 1) },
);

sub ask { my ($key, $server, $port, $type) = @_; everywhere($key, sub {
    my ($link, $tag) = @_;
    my $inside = $server =~ /^127\./;
    my $s = open_on(AF_INET, SOCK_DGRAM, 0, $inside ? undef : $link);
    connect $s, address($server, $port, $link) or die "$!";
    defined send $s, question($tag, $wants{$type}), 0 or die "$!";
    # A closed port of loopback is told by the kernel at once.
    wait_for($s, $inside ? 2 : 0.5) or return '';
    defined recv $s, my $answer, 4096, 0 or die "$!";
    return length $answer ? 'a resolver answered' : '';
}) }

sub send_udp { my ($key, $host, $port, $family) = @_; everywhere($key, sub {
    my ($link, $tag) = @_;
    $family //= family($host);
    my $s = open_on($family, SOCK_DGRAM, 0, $link);
    if ($host =~ /^2(2[4-9]|3\d)\./) { setsockopt $s, IPPROTO_IP, 32, pack 'a4a4l', inet_aton($host), inet_aton('0.0.0.0'), $link->{index} or die "$!" }
    if ($host =~ /^ff/) { setsockopt $s, IPPROTO_IPV6, 17, pack 'l', $link->{index} or die "$!" }
    my $to = $family == AF_INET6 && $host !~ /:/ ? pack_sockaddr_in6($port, inet_pton(AF_INET6, "::ffff:$host")) : address($host, $port, $link);
    defined send $s, $tag, 0, $to or die "$!";
    return '';
}) }

my %kinds = (
    udp => sub { send_udp(@_) },
    mapped => sub { send_udp(@_[0 .. 2], AF_INET6) },
    broadcast => sub { my ($key, $port) = @_; send_udp($key, '255.255.255.255', $port) },
    tcp => sub { my ($key, $host, $port, $from, $what) = @_; my $end = time + WAIT; my (@open, $why);
        return tried($key, 'refused', 'there is no link') unless @links;
        for my $link (@links) {
            my $s = eval { open_on(AF_INET, SOCK_STREAM, 0, $link) } or do { $why = $@; next };
            setsockopt $s, SOL_SOCKET, SO_REUSEADDR, pack 'l', 1;
            bind $s, pack_sockaddr_in($from, inet_aton($link->{address})) or do { $why = "bind: $!"; next };
            fcntl $s, 4, 0x800;
            if (!connect($s, address($host, $port, $link)) && $! != EINPROGRESS) { $why = "$!"; next }
            push @open, $s;
        }
        my $tag = "$prefix$key";
        while (@open && time < $end) {
            my $write = '';
            vec($write, fileno $_, 1) = 1 for @open;
            select undef, $write, undef, 0.2;
            my @left;
            for my $s (@open) {
                if (!vec $write, fileno $s, 1) { push @left, $s; next }
                my $error = unpack 'l', getsockopt $s, SOL_SOCKET, SO_ERROR;
                if ($error) { $why = POSIX::strerror($error); next }
                syswrite $s, $payload{$what}->($tag);
                select undef, undef, undef, 0.2;
                return tried($key, 'answered', "$host:$port took the connection");
            }
            @open = @left;
        }
        tried($key, 'refused', $why // 'nobody answered');
    },
    tls => sub { my ($key, $host, $port) = @_; my $ok = quietly('timeout', '3', 'openssl', 's_client', '-connect', "$host:$port", '-servername', "$prefix$key.resolver.test"); tried($key, 'sent', 'a TLS hello') },
    icmp => sub { my ($key, $host) = @_; everywhere($key, sub { my ($link, $tag) = @_;
        my $s = open_on(AF_INET, SOCK_RAW, 1, $link);
        my $body = pack('CCnnn', 8, 0, 0, $$ & 0xffff, 1) . $tag . $tag;
        substr $body, 2, 2, pack 'n', sum16($body);
        defined send $s, $body, 0, address($host, 0, $link) or die "$!";
        return '';
    }) },
    ip => sub { my ($key, $host, $proto) = @_; everywhere($key, sub { my ($link, $tag) = @_;
        my %body = (4 => sub { ipv4($link->{address}, $host, 17, udp(4000, 4001, $tag)) }, 41 => sub { ipv6($ALL_NODES, $ALL_NODES, 17, 64, udp(4000, 4001, $tag)) },
            47 => sub { pack('nn', 0, 0x800) . ipv4($link->{address}, $host, 17, udp(4000, 4001, $tag)) },
            132 => sub { pack('nnNN', 4000, 4001, 0, 0) . pack('CCnNNnnN', 1, 0, 20, 1, 65535, 1, 1, 1) . $tag });
        my $s = open_on(AF_INET, SOCK_RAW, $proto, $link);
        defined send $s, $body{$proto}->(), 0, address($host, 0, $link) or die "$!";
        return '';
    }) },
    dns => sub { ask(@_) },
    resolv => sub { my ($key, $type) = @_; open my $fh, '<', '/etc/resolv.conf' or return tried($key, 'refused', "resolv.conf: $!"); my @servers = map { /^nameserver\s+([\d.]+)/ ? $1 : () } <$fh>; return tried($key, 'refused', 'no resolver is named') unless @servers; ask($key, $servers[0], 53, $type) },
    # Through the C library, search domains and all.
    lookup => sub { my ($key) = @_; my ($error, @found) = getaddrinfo("$prefix$key", '', { socktype => SOCK_STREAM }); tried($key, @found ? ('answered', 'it resolves') : ('refused', "$error")) },
    host => sub { my ($key, $name, $port) = @_; my ($error, @found) = getaddrinfo($name, $port, { family => AF_INET, socktype => SOCK_DGRAM }); return tried($key, 'refused', "$name: $error") unless @found; send_udp($key, inet_ntoa((unpack_sockaddr_in($found[0]{addr}))[1]), $port) },
    frame => sub { my ($key, $what, $to, $ip) = @_; everywhere($key, sub { my ($link, $tag) = @_; frame($link, $frames{$what}->($link, $tag, $to ? mac($to) : '', $ip)); return '' }) },
    solicit => sub { my ($key) = @_; everywhere($key, sub { my ($link, $tag) = @_;
        my $s = open_on(AF_PACKET, SOCK_RAW, 256 * ALL);
        bind $s, pack 'SnlSCCa8', AF_PACKET, ALL, $link->{index}, 1, 0, 6, '' or die "$!";
        frame($link, $frames{rs}->($link, $tag));
        for (1 .. 200) {
            wait_for($s, 0.6) or return '';
            recv $s, my $seen, 4096, 0;
            return 'a router from outside answered' if length $seen > 70 && substr($seen, 12, 2) eq "\x86\xdd" && ord(substr $seen, 54, 1) == 134 && index($seen, $tag) > 0;
        }
        return '';
    }) },
    unix => sub { my ($key, @paths) = @_; my $why = '';
        for my $path (@paths) {
            socket my $s, AF_UNIX, SOCK_STREAM, 0 or return tried($key, 'refused', "socket: $!");
            if (connect $s, pack_sockaddr_un($path)) { syswrite $s, $payload{docker}->("$prefix$key"); select undef, undef, undef, 0.2; return tried($key, 'answered', "$path took the connection") }
            $why = "$path: $!";
        }
        tried($key, "refused", "none of " . @paths . " sockets is there");
    },
    abstract => sub { my ($key, $name) = @_;
        socket my $s, AF_UNIX, SOCK_STREAM, 0 or return tried($key, 'refused', "socket: $!");
        connect $s, pack('S', AF_UNIX) . "\0$name" or return tried($key, 'refused', "$!");
        syswrite $s, "$prefix$key";
        select undef, undef, undef, 0.2;
        tried($key, 'answered', 'the host took the connection');
    },
    vsock => sub { my ($key, $port) = @_;
        socket my $s, AF_VSOCK, SOCK_STREAM, 0 or return tried($key, 'refused', "socket: $!");
        bind $s, pack 'SSLLL', AF_VSOCK, 0, $port, 0xffffffff, 0 or return tried($key, 'refused', "bind: $!");
        select undef, undef, undef, 0.6;
        tried($key, 'answered', 'a socket of the machine was had');
    },
    # Where the kernel lacks the device: what it puts on the wire, an address of its own included.
    macvlan => sub { my ($key, $host, $port) = @_; everywhere($key, sub { my ($link, $tag) = @_;
        my $child = "mv$link->{index}";
        my $made = quietly('ip', 'link', 'add', 'link', $link->{name}, 'name', $child, 'type', 'macvlan', 'mode', 'bridge');
        if (!$made) { my %other = (%$link, mac => "\x02\xf0\x0d\xf0\x0d\x02"); frame($link, $frames{udp}->(\%other, $tag, "\xff" x 6, $host)); return '' }
        my $mac = pack 'H*', slurp("/sys/class/net/$child/address") =~ s/://gr;
        quietly('ip', 'link', 'set', $child, 'up');
        my %up = (%$link, name => $child, index => slurp("/sys/class/net/$child/ifindex"), mac => $mac);
        my $sent = eval { frame(\%up, $frames{udp}->(\%up, $tag, "\xff" x 6, $host)); 1 };
        quietly('ip', 'link', 'del', $child);
        $sent or die $@;
        return '';
    }) },
    route => sub { my ($key, $host, $port, @gateways) = @_; my $sent = 0; my $why = 'there is nobody to go by';
        for my $link (@links) {
            # `ADDRESS` anywhere, or `ADDRESS@LINK` there alone.
            for my $gateway (map { my ($a, $at) = split /@/; !defined $at || $at eq $link->{name} ? $a : () } @gateways) {
                quietly('ip', 'route', 'replace', "$host/32", 'via', $gateway, 'dev', $link->{name}, 'onlink') or do { $why = "no route by $gateway"; next };
                my $s = eval { open_on(AF_INET, SOCK_DGRAM, 0, $link) } or do { $why = $@; next };
                if (defined send $s, "$prefix$key", 0, address($host, $port, $link)) { $sent++ } else { $why = "$!" }
                quietly('ip', 'route', 'del', "$host/32", 'dev', $link->{name});
            }
        }
        tried($key, $sent ? ('sent', "by $sent ways") : ('refused', $why));
    },
    default => sub { my ($key, $host, $port, $gateway) = @_; everywhere($key, sub { my ($link, $tag) = @_;
        quietly('ip', 'route', 'add', 'default', 'via', $gateway, 'dev', $link->{name}, 'onlink', 'metric', '1') or die "no route by $gateway";
        my $s = open_on(AF_INET, SOCK_DGRAM, 0, $link);
        my $sent = defined send $s, $tag, 0, address($host, $port, $link);
        my $why = "$!";
        quietly('ip', 'route', 'del', 'default', 'via', $gateway, 'dev', $link->{name}, 'metric', '1');
        $sent or die "$why\n";
        return '';
    }) },
    wall => sub { my ($key, $host, $port) = @_; open my $nft, '|-', 'nft', '-f', '-' or return tried($key, 'refused', "nft: $!"); print $nft "table inet wall { chain out { type filter hook output priority 0; ip daddr $host drop; }; }\n"; close $nft or return tried($key, 'refused', 'the kernel took no rule'); send_udp($key, $host, $port) },
    flush => sub { my ($key, $host, $port) = @_; quietly('nft', 'flush', 'ruleset') or return tried($key, 'refused', 'the rules stayed'); send_udp($key, $host, $port) },
);
# These change what the others rely on, so they come after them, one at a time and in order.
my %last = map { $_ => 1 } qw(macvlan route default wall flush);

my %child;
for my $step (grep { !$last{ $_->[1] } } @plan) {
    my ($key, $kind, @arguments) = @$step;
    my $pid = fork;
    if (!defined $pid) { tried($key, 'refused', "fork: $!"); next }
    if (!$pid) {
        $SIG{ALRM} = sub { tried($key, 'refused', 'no end'); POSIX::_exit(1) };
        alarm WAIT + 3;
        my $do = $kinds{$kind};
        if ($do) { $do->($key, @arguments) } else { tried($key, 'refused', "no such kind: $kind") }
        POSIX::_exit(0);
    }
    $child{$pid} = $key;
}
for (1 .. 500) {
    while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) { delete $child{$pid} }
    last unless %child;
    select undef, undef, undef, 0.02;
}
for my $pid (keys %child) { kill 'KILL', $pid; waitpid $pid, 0; tried($child{$pid}, 'refused', 'no end') }
for my $step (grep { $last{ $_->[1] } } @plan) { my ($key, $kind, @arguments) = @$step; $kinds{$kind}->($key, @arguments) }
