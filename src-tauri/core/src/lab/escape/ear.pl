# A receiver. Hears every frame on every interface but loopback, and whatever reaches its listeners; says which of the tags
# it was told of it heard. A tag is the probe's prefix and a key of four characters, side by side only in what was sent.
# Input, one a line:  prefix P · syn ADDRESS SPORT DPORT KEY · tcp ADDRESS PORT · dns ADDRESS · unix PATH · abstract NAME ·
#                     vsock PORT KEY · router · go · end
# Output: ready · heard KEY HOW · failed WORDS · end DROPPED.  Only modules of perl-base.
use strict;
use warnings;
use POSIX ();
use Socket;
use Errno qw(EADDRINUSE EINTR);

use constant { AF_PACKET => 17, AF_VSOCK => 40, SOL_PACKET => 263, PACKET_STATISTICS => 6, ALL => 3, LOOPBACK => 772 };
$| = 1;
$SIG{PIPE} = 'IGNORE';
# Whoever asked may be gone.
alarm 120;
my ($prefix, $router, %syn, %heard, %vsock, @listeners, %conversation, @held) = ('', 0);

sub say_line { syswrite STDOUT, join(' ', @_) . "\n" }
sub heard { my ($key, $how) = @_; say_line('heard', $key, $how) unless $heard{"$key $how"}++ }
sub search { my ($bytes, $how) = @_; while ($bytes =~ /\Q$prefix\E([a-z]\d\d[a-z])/g) { heard($1, $how) } }
sub failed { say_line('failed', join ' ', @_) }

sub tcp_listener {
    my ($address, $port) = @_;
    socket my $s, AF_INET, SOCK_STREAM, 0 or return failed("tcp $port: $!");
    setsockopt $s, SOL_SOCKET, SO_REUSEADDR, pack 'l', 1;
    bind $s, pack_sockaddr_in($port, inet_aton($address)) and listen $s, 64 or return failed("tcp $address:$port: $!");
    push @listeners, [$s, 'tcp'];
}

sub dns_listener {
    my ($address) = @_;
    socket my $s, AF_INET, SOCK_DGRAM, 0 or return failed("dns: $!");
    bind $s, pack_sockaddr_in(53, inet_aton($address)) or return failed("dns $address: $!");
    push @listeners, [$s, 'dns'];
}

sub unix_listener {
    my ($path, $name) = @_;
    socket my $s, AF_UNIX, SOCK_STREAM, 0 or return failed("unix: $!");
    my $address = $name ? pack('S', AF_UNIX) . "\0$path" : pack_sockaddr_un($path);
    bind $s, $address and listen $s, 16 or return failed("unix $path: $!");
    push @listeners, [$s, 'unix'];
}

# Ports of AF_VSOCK belong to the whole machine: one that somebody else took cannot be had.
sub look_at_vsock {
    for my $port (keys %vsock) {
        next if $heard{"$vsock{$port} vsock"};
        socket my $s, AF_VSOCK, SOCK_STREAM, 0 or next;
        my $free = bind $s, pack('SSLLL', AF_VSOCK, 0, $port, 0xffffffff, 0);
        heard($vsock{$port}, 'vsock') if !$free && $! == EADDRINUSE;
        close $s;
    }
}

sub ticks { return (POSIX::times())[0] }    # hundredths of a second
sub dotted { join '.', unpack 'C4', $_[0] }

# A connection that was only asked for carries no payload: it is known by its three numbers.
sub ask_for_connection {
    my ($frame) = @_;
    return unless length $frame >= 54 && substr($frame, 12, 2) eq "\x08\0" && substr($frame, 23, 1) eq "\x06";
    my $at = 14 + 4 * (ord(substr $frame, 14, 1) & 15);
    return unless length $frame >= $at + 14 && (ord(substr $frame, $at + 13, 1) & 0x12) == 0x02;
    my ($from, $to) = unpack 'nn', substr $frame, $at, 4;
    my $key = $syn{ dotted(substr $frame, 30, 4) . " $from $to" };
    heard($key, 'frame') if $key;
}

sub checksum { my $sum = 0; $sum += $_ for unpack 'n*', $_[0] . (length($_[0]) % 2 ? "\0" : ''); $sum = ($sum >> 16) + ($sum & 0xffff) while $sum >> 16; ~$sum & 0xffff }

# Answers a router solicitation that carries a tag with an advertisement that carries it too (and gives nobody a route).
sub advertise {
    my ($socket, $from, $frame) = @_;
    return unless length $frame >= 62 && substr($frame, 12, 2) eq "\x86\xdd" && substr($frame, 20, 1) eq "\x3a" && ord(substr $frame, 54, 1) == 133;
    my ($tag) = $frame =~ /(\Q$prefix\E[a-z]\d\d[a-z])/ or return;
    my ($me, $them) = ("\xfe\x80" . "\0" x 13 . "\x01", substr $frame, 22, 16);
    my $body = pack('CCnCCnNN', 134, 0, 0, 64, 0, 0, 0, 0) . pack('CC', 14, 2) . $tag;
    substr $body, 2, 2, pack 'n', checksum($me . $them . pack('NN', length $body, 58) . $body);
    my $answer = substr($frame, 6, 6) . "\x02\0\0\0\0\x01" . "\x86\xdd" . pack('NnCC', 0x60000000, length $body, 58, 255) . $me . $them . $body;
    send $socket, $answer, 0, $from;
}

my $input = '';
sub configure {
    while ($input =~ s/^([^\n]*)\n//) {
        my ($word, @rest) = split ' ', $1;
        next unless defined $word;
        if ($word eq 'prefix') { $prefix = $rest[0] }
        elsif ($word eq 'syn') { $syn{"$rest[0] $rest[1] $rest[2]"} = $rest[3] }
        elsif ($word eq 'tcp') { tcp_listener(@rest) }
        elsif ($word eq 'dns') { dns_listener(@rest) }
        elsif ($word eq 'unix') { unix_listener($rest[0], 0) }
        elsif ($word eq 'abstract') { unix_listener($rest[0], 1) }
        elsif ($word eq 'vsock') { $vsock{ $rest[0] } = $rest[1] }
        elsif ($word eq 'router') { $router = 1 }
        elsif ($word eq 'go') { say_line('ready') }
        elsif ($word eq 'end') { return 0 }
        else { failed("no such word: $word") }
    }
    return 1;
}

socket my $frames, AF_PACKET, SOCK_RAW, 256 * ALL or do { failed("frames: $!"); exit 1 };
setsockopt $frames, SOL_SOCKET, SO_RCVBUF, pack 'l', 8 << 20;

sub converse {
    my ($entry) = @_;
    my ($s, $kind) = @$entry;
    if ($kind eq 'dns') {
        my $from = recv $s, my $query, 4096, 0;
        return unless defined $from && length $query >= 12;
        search($query, 'dns');
        # No such name: whoever asked need not wait.
        substr $query, 2, 2, pack 'n', 0x8183;
        send $s, $query, 0, $from;
    }
    elsif ($kind eq 'tcp' || $kind eq 'unix') {
        if (accept my $c, $s) { $conversation{ fileno $c } = [$c, $kind, ''] if keys %conversation < 128 }
    }
}

sub serve {
    my $open = 1;
    my $until;
    while (1) {
        my $read = '';
        vec($read, fileno $frames, 1) = 1;
        vec($read, fileno STDIN, 1) = 1 if $open;
        vec($read, fileno $_->[0], 1) = 1 for @listeners, values %conversation;
        my $n = select $read, undef, undef, 0.1;
        look_at_vsock() if %vsock;
        last if defined $until && ticks() >= $until;
        next if $n <= 0;
        if (vec $read, fileno $frames, 1) {
            for (1 .. 256) {
                my $from = recv $frames, my $frame, 4096, 0x40;
                last unless defined $from;
                next if unpack('x8 S', $from) == LOOPBACK;
                if (index($frame, $prefix) >= 0) { search($frame, 'frame'); advertise($frames, $from, $frame) if $router }
                ask_for_connection($frame) if %syn;
            }
        }
        for my $c (values %conversation) {
            next unless vec $read, fileno $c->[0], 1;
            my $got = sysread $c->[0], $c->[2], 4096, length $c->[2];
            search($c->[2], $c->[1]);
            if (!$got || length $c->[2] > 16384 || index($c->[2], $prefix) >= 0) { delete $conversation{ fileno $c->[0] }; close $c->[0] }
        }
        for my $l (@listeners) { converse($l) if vec $read, fileno $l->[0], 1 }
        if ($open && vec $read, fileno STDIN, 1) {
            my $got = sysread STDIN, $input, 4096, length $input;
            $open = 0 if !defined $got && $! != EINTR || defined $got && $got == 0;
            $open = 0 unless configure();
            # What is on its way is still heard.
            $until = ticks() + 30 unless $open;
        }
    }
}
serve();
my $stats = getsockopt $frames, SOL_PACKET, PACKET_STATISTICS;
say_line('end', defined $stats ? (unpack 'LL', $stats)[1] : 0);
