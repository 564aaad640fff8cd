# The fabric's hands. Reads requests from stdin, runs each in a child of its own, answers on stdout; ends with its input.
# Frame, both ways: u32 length, then fields of (u32 length, bytes), big-endian.
#   request:  id, op, limit_ms, output_cap, target, handles, stdin, args…
#   answer:   id, status (done|timeout|gone|failed), exit, truncated (0|1), stdout, stderr
# `target` is "pid:container" or empty; `handles` a space-separated list of the same. A pid counts only while its
# cgroup names that container, so that a reused pid can never lead into somebody else's namespace, the host's least.
# Only modules of perl-base.
use strict;
use warnings;
use POSIX qw(:sys_wait_h dup2 _exit setpgid EINTR ENOENT ENOTDIR ELOOP);
use Fcntl qw(:DEFAULT :flock S_ISREG S_ISDIR O_NOFOLLOW O_DIRECTORY);

use constant { NEWNET => 0x40000000, O_PATH => 0x200000, OPENAT2 => 437, HANDLES => 500, PARALLEL => 48 };
use constant { NO_MAGICLINKS => 0x02, NO_SYMLINKS => 0x04, BENEATH => 0x08, IN_ROOT => 0x10 };
my $SETNS = (POSIX::uname())[4] =~ /^(aarch64|arm64|riscv64)$/ ? 268 : 308;

binmode $_ for \*STDIN, \*STDOUT;
my (%job, %by_pid, @queue);
my $input = '';
my $serial = 0;
$SIG{CHLD} = sub { };
$SIG{PIPE} = 'IGNORE';

sub now { return (POSIX::times())[0] * 10 }    # milliseconds, steps of ten

sub answer {
    my $frame = pack '(N/a*)*', @_;
    $frame = pack 'N/a*', $frame;
    my $at = 0;
    while ($at < length $frame) {
        my $n = syswrite STDOUT, $frame, length($frame) - $at, $at;
        if (!defined $n) { next if $! == EINTR; _exit(1) }
        $at += $n;
    }
}

# ---- inside a child -----------------------------------------------------------------------------------------------

sub refuse { my ($code, $text) = @_; syswrite STDERR, $text; _exit($code) }
sub gone { refuse(250, "node process $_[0] is not there any more") }

sub all_of { open my $fh, '<', $_[0] or return ''; local $/; return <$fh> // '' }

# `self` stands for the fabric's own container, where unseen hosts live.
sub ours {
    my ($pid, $container) = @_;
    $pid =~ /^\d+$/ or gone($pid);
    my $theirs = all_of("/proc/$pid/cgroup");
    if ($container eq 'self') { $theirs ne '' && $theirs eq all_of('/proc/self/cgroup') or gone($pid) }
    else { $container =~ /^[0-9a-f]{12,}$/ && index($theirs, $container) >= 0 or gone($pid) }
}

sub netns {
    my ($pid, $container) = @_;
    open my $fh, '<', "/proc/$pid/ns/net" or gone($pid);
    ours($pid, $container);
    my $inode = (stat $fh)[1];
    # Not every kernel lets us look at pid 1; the cgroup is the proof, this a second look.
    for my $other ("/proc/1/ns/net", "/proc/self/ns/net") {
        my $theirs = (stat $other)[1] // next;
        $theirs == $inode and refuse(251, "process $pid shares the network namespace of $other");
    }
    return ($fh, $inode);
}

sub enter { my ($fh) = @_; syscall($SETNS, fileno $fh, NEWNET) == 0 or refuse(251, "setns: $!") }

sub openat2 {
    my ($dir, $path, $flags, $resolve) = @_;
    my $how = pack 'QQQ', $flags, 0, $resolve;
    my $zero = "$path\0";
    my $fd = syscall OPENAT2, $dir + 0, $zero, $how, 24;
    return $fd < 0 ? undef : $fd;
}

sub root_of {
    my ($pid, $container) = @_;
    sysopen my $root, "/proc/$pid/root", O_RDONLY | O_DIRECTORY or gone($pid);
    ours($pid, $container);
    return $root;
}

# Bytes of the regular file behind an O_PATH descriptor; undef when it is something else.
sub slurp {
    my ($fd, $max) = @_;
    open my $path, '<&=', $fd or return;
    S_ISREG((stat $path)[2]) or return;
    sysopen my $fh, "/proc/self/fd/$fd", O_RDONLY | O_NONBLOCK or refuse(5, "cannot be read: $!");
    my ($all, $n) = ('', 0);
    while (length $all <= $max) {
        $n = sysread $fh, $all, 65536, length $all;
        defined $n or refuse(5, "cannot be read: $!");
        last if $n == 0;
    }
    length $all > $max and refuse(3, "larger than $max bytes");
    return $all;
}

sub write_all { my ($text) = @_; my $at = 0; while ($at < length $text) { $at += syswrite(STDOUT, $text, length($text) - $at, $at) // _exit(1) } }

sub op_read {
    my ($target, $path, $max) = @_;
    my $root = root_of(@$target);
    my $fd = openat2(fileno $root, $path, O_PATH, IN_ROOT | NO_MAGICLINKS);
    if (!defined $fd) { refuse($! == ENOENT || $! == ENOTDIR ? 2 : 5, "cannot be opened: $!") }
    my $bytes = slurp($fd, $max);
    defined $bytes or refuse(4, "not a regular file");
    write_all($bytes);
}

sub op_tree {
    my ($target, $dir, $max) = @_;
    my $root = root_of(@$target);
    my $top = openat2(fileno $root, $dir, O_PATH | O_DIRECTORY, IN_ROOT | NO_MAGICLINKS);
    if (!defined $top) { $! == ENOENT || $! == ENOTDIR ? return : refuse(5, "cannot be opened: $!") }
    my ($left, $entries) = ($max, 0);
    my $walk;
    $walk = sub {
        my ($at, $name, $depth) = @_;
        $depth > 32 and refuse(3, "deeper than 32 directories");
        opendir my $handle, "/proc/self/fd/$at" or return;
        for my $entry (sort readdir $handle) {
            next if $entry eq '.' || $entry eq '..';
            ++$entries > 20000 and refuse(3, "more than 20000 entries");
            my $fd = openat2($at, $entry, O_PATH | O_NOFOLLOW, BENEATH | NO_SYMLINKS | NO_MAGICLINKS);
            next unless defined $fd;
            open my $path, '<&=', $fd or next;
            my $mode = (stat $path)[2];
            if (S_ISDIR($mode)) { $walk->($fd, "$name/$entry", $depth + 1) }
            elsif (S_ISREG($mode)) {
                my $bytes = slurp($fd, $left);
                $left -= length $bytes;
                write_all(pack 'N/a* N/a*', "$name/$entry", $bytes);
            }
        }
    };
    $dir =~ s{/+$}{};
    $walk->($top, $dir, 0);
}

# Owners that templates name by user and group, as the node's own image knows them. Lines "user:group path".
sub own {
    my ($target, $lines) = @_;
    my $root = root_of(@$target);
    my %id;
    for my $file (qw(passwd group)) {
        my $fd = openat2(fileno $root, "/etc/$file", O_PATH, IN_ROOT | NO_MAGICLINKS) // refuse(5, "/etc/$file: $!");
        for (split /\n/, slurp($fd, 1 << 20) // '') { my @f = split /:/; $id{$file}{ $f[0] } = $f[2] if @f > 2 }
        POSIX::close($fd);
    }
    for (split /\n/, $lines) {
        my ($user, $group, $path) = /^([^:\s]*):([^:\s]*) (.*)$/ or refuse(5, "owner line: $_");
        my $uid = $user =~ /^\d+$/ ? $user : $id{passwd}{$user} // refuse(5, "no user $user in the image (owner of $path)");
        my $gid = $group =~ /^\d+$/ ? $group : $id{group}{$group} // refuse(5, "no group $group in the image (owner of $path)");
        my $fd = openat2(fileno $root, $path, O_PATH | O_NOFOLLOW, IN_ROOT | NO_MAGICLINKS) // refuse(5, "$path: $!");
        chown $uid, $gid, "/proc/self/fd/$fd" or refuse(5, "owner of $path: $!");
        POSIX::close($fd);
    }
}

sub batch {
    my ($program, $text, @options) = @_;
    return 1 if $text eq '';
    open my $pipe, '|-', $program, @options, '-batch', '-' or refuse(5, "$program: $!");
    print $pipe $text;
    return close $pipe;
}

# SIOCETHTOOL with ETHTOOL_STXCSUM off: user-space switches and raw-socket programs want whole checksums.
sub checksum_off {
    my ($interface) = @_;
    socket my $s, 2, 2, 0 or refuse(5, "socket: $!");
    my $value = pack 'LL', 0x17, 0;
    my $request = pack 'a16 P x16', $interface, $value;
    ioctl $s, 0x8946, $request or refuse(5, "cannot switch checksum offload of $interface off: $!");
}

# When a process began, in ticks since boot: with its pid, the one name of a node's life that the kernel never gives twice.
# (Namespace inodes are: a restarted node often gets its old one.)
sub began { my $stat = all_of("/proc/$_[0]/stat"); $stat =~ s/^.*\) //s or gone($_[0]); return (split ' ', $stat)[19] }

# Wires one node: its ports on this side, then its interfaces inside. Once per start of the node, whoever asks, however often.
sub op_wire {
    my ($target, $name, $old, $outside, $shape, $inside, $offload, $owners) = @_;
    my ($ns) = netns(@$target);
    my $life = "$target->[0] " . began($target->[0]);
    sysopen my $lock, "/tmp/forge-wire-$name", O_RDWR | O_CREAT, 0600 or refuse(5, "lock: $!");
    flock $lock, LOCK_EX or refuse(5, "lock: $!");
    my $done = '';
    sysread $lock, $done, 64;
    if ($done eq $life) { write_all('already'); return }
    if ($old ne '') {
        open my $keep, '>&', \*STDERR;
        open STDERR, '>', '/dev/null';
        batch('ip', $old, '-force');
        open STDERR, '>&', $keep;
    }
    own($target, $owners) if $owners ne '';
    dup2(fileno $ns, HANDLES) // refuse(5, "dup2: $!");
    $outside =~ s/\@state(\d+)\@/-e "\/tmp\/forge-cut-$1" ? 'down' : 'up'/ge;
    batch('ip', $outside) or refuse(1, '');
    batch('tc', $shape) or refuse(1, '');
    enter($ns);
    if ($offload ne '') { checksum_off($_) for split /,/, $offload }
    batch('ip', $inside) or refuse(1, '');
    truncate $lock, 0;
    sysseek $lock, 0, 0;
    syswrite $lock, $life;
    write_all('wired');
}

sub lines_of { my ($path) = @_; open my $fh, '<', $path or return; return <$fh> }

# One condition of one node: 1 = holds, 0 = not yet, text = never will.
sub holds {
    my ($pid, $container, $kind, $argument) = @_;
    if ($kind eq 'tcp' || $kind eq 'udp') {
        my $wanted = sprintf '%04X', $argument;
        my $state = $kind eq 'tcp' ? '0A' : '07';
        for my $line (lines_of("/proc/$pid/net/$kind"), lines_of("/proc/$pid/net/${kind}6")) {
            return 1 if $line =~ /^\s*\d+: [0-9A-F]+:$wanted [0-9A-F]+:[0-9A-F]{4} $state /;
        }
        return 0;
    }
    my $root = root_of($pid, $container);
    if ($kind eq 'path') {
        my $fd = openat2(fileno $root, $argument, O_PATH, IN_ROOT | NO_MAGICLINKS) // return 0;
        POSIX::close($fd);
        return 1;
    }
    my $fd = openat2(fileno $root, '/run/forge/startup', O_PATH, IN_ROOT | NO_MAGICLINKS) // return 0;
    my $state = slurp($fd, 64) // '';
    POSIX::close($fd);
    return 1 if $state =~ /^done/;
    return $state =~ /^failed (\d+)/ ? "its startup ended with status $1" : 0;
}

# Waits until every line "name pid container kind argument" of the input holds; prints those that do not.
sub op_await {
    my ($limit) = @_;
    my @open = map { chomp; [split / /, $_, 5] } <STDIN>;
    my $end = now() + $limit;
    while (1) {
        my @left;
        for my $c (@open) {
            my ($name, $pid, $container, $kind, $argument) = @$c;
            if (!kill 0, $pid) { refuse(6, "$name\tit has ended") }
            my $state = holds($pid, $container, $kind, $argument);
            next if $state eq '1';
            $state eq '0' or refuse(7, "$name\t$state");
            push @left, $c;
        }
        @open = @left or return;
        last if now() >= $end;
        select undef, undef, undef, 0.015;
    }
    refuse(8, join '', map { "$_->[0]\t$_->[3] $_->[4]\n" } @open);
}

# Waits until the guard in this container says by its title that it holds. Anybody can take its title, nobody its cgroup.
sub op_guard {
    my ($limit, $container) = @_;
    $container =~ /^[0-9a-f]{12,}$/ or refuse(8, 'no such container');
    my $end = now() + $limit;
    while (1) {
        opendir my $proc, '/proc' or refuse(5, "/proc: $!");
        for my $pid (grep { /^\d+$/ } readdir $proc) {
            my ($state, $words) = all_of("/proc/$pid/cmdline") =~ /^forge-guard: (holds|failed)([^\0]*)/ or next;
            index(all_of("/proc/$pid/cgroup"), $container) >= 0 or next;
            return if $state eq 'holds';
            refuse(9, $words =~ s/^ //r);
        }
        now() >= $end and refuse(8, 'its rule is not there');
        select undef, undef, undef, 0.01;
    }
}

# What the namespaces really hold: devices and default routes of each node, and of the fabric itself.
sub op_survey {
    my $show = sub {
        my ($name, $at, $inode) = @_;
        my @devices = map { /^\s*([^:\s]+):/ ? $1 : () } lines_of("$at/net/dev");
        my @routes = map { my @f = split; $f[1] eq '00000000' && $f[7] eq '00000000' ? "$f[0]/" . join('.', reverse map { hex } $f[2] =~ /../g) : () }
            lines_of("$at/net/route");
        push @routes, map { my @f = split; $f[0] eq '0' x 32 && $f[1] eq '00' && $f[9] ne 'lo' ? "$f[9]/$f[4]" : () } lines_of("$at/net/ipv6_route");
        write_all(join("\t", $name, $inode, join(',', @devices), join(',', @routes)) . "\n");
    };
    for my $line (<STDIN>) {
        chomp $line;
        my ($name, $pid, $container) = split / /, $line;
        my (undef, $inode) = netns($pid, $container);
        $show->($name, "/proc/$pid", $inode);
    }
    $show->('', '/proc/self', (stat '/proc/self/ns/net')[1]);
}

sub child {
    my ($r) = @_;
    my @target = split /:/, $r->{target};
    my $op = $r->{op};
    if ($op eq 'read') { op_read(\@target, @{ $r->{args} }) }
    elsif ($op eq 'tree') { op_tree(\@target, @{ $r->{args} }) }
    elsif ($op eq 'wire') { op_wire(\@target, @{ $r->{args} }) }
    elsif ($op eq 'await') { op_await(@{ $r->{args} }) }
    elsif ($op eq 'guard') { op_guard(@{ $r->{args} }) }
    elsif ($op eq 'survey') { op_survey() }
    elsif ($op eq 'exec') {
        my $n = HANDLES;
        my @keep;
        for my $handle (split / /, $r->{handles}) {
            my ($ns) = netns(split /:/, $handle);
            dup2(fileno $ns, $n++) // refuse(5, "dup2: $!");
            push @keep, $ns;
        }
        if (@target) { my ($ns) = netns(@target); enter($ns) }
        $ENV{NODE_PID} = $target[0] // '';
        $ENV{WORK} = $r->{work};
        chdir $r->{work};
        my @argv = @{ $r->{args} };
        exec { $argv[0] } @argv or refuse(127, "$argv[0]: $!");
    }
    else { refuse(251, "no operation named $op") }
    _exit(0);
}

# ---- the loop -----------------------------------------------------------------------------------------------------

sub launch {
    my ($r) = @_;
    my $spool;
    if ($r->{stdin} ne '') {
        my $file = "/tmp/in.$$." . ++$serial;
        sysopen $spool, $file, O_RDWR | O_CREAT | O_EXCL, 0600 or return answer($r->{id}, 'failed', 0, 0, '', "spool: $!");
        unlink $file;
        my $n = syswrite $spool, $r->{stdin};
        ($n // -1) == length $r->{stdin} or return answer($r->{id}, 'failed', 0, 0, '', "spool: the scratch space is full");
        sysseek $spool, 0, 0;
    }
    $r->{stdin} = '';
    $r->{work} = '';
    if ($r->{op} eq 'exec') { $r->{work} = "/tmp/w.$$." . ++$serial; mkdir $r->{work}, 0700 }
    pipe my $out, my $out_w and pipe my $err, my $err_w or return answer($r->{id}, 'failed', 0, 0, '', "pipe: $!");
    my $pid = fork;
    defined $pid or return answer($r->{id}, 'failed', 0, 0, '', "fork: $!");
    if (!$pid) {
        setpgid(0, 0);
        $SIG{$_} = 'DEFAULT' for qw(CHLD PIPE);
        if ($spool) { open STDIN, '<&', $spool } else { open STDIN, '<', '/dev/null' }
        dup2(fileno $out_w, 1);
        dup2(fileno $err_w, 2);
        child($r);
        _exit(0);
    }
    setpgid($pid, $pid);
    @$r{qw(pid out err stdout stderr truncated end)} = ($pid, $out, $err, '', '', 0, now() + $r->{limit});
    $job{ $r->{id} } = $r;
    $by_pid{$pid} = $r->{id};
}

sub finish {
    my ($r, $status) = @_;
    kill 'KILL', -$r->{pid};
    delete $job{ $r->{id} };
    delete $by_pid{ $r->{pid} };
    if ($status ne 'done') { waitpid $r->{pid}, WNOHANG }
    if ($r->{work} ne '' && !rmdir $r->{work}) {
        my $pid = fork;
        if (defined $pid && !$pid) { exec 'rm', '-rf', '--one-file-system', '--', $r->{work} or _exit(1) }
    }
    my $exit = $r->{exit} // 0;
    $status = 'gone' if $status eq 'done' && $exit == 250 && $r->{stderr} =~ /^node process /;
    answer($r->{id}, $status, $exit, $r->{truncated}, $r->{stdout}, $r->{stderr});
}

sub reap {
    while ((my $pid = waitpid -1, WNOHANG) > 0) {
        my $r = $job{ $by_pid{$pid} // next };
        $r->{exit} = WIFEXITED($?) ? WEXITSTATUS($?) : 128 + WTERMSIG($?);
        kill 'KILL', -$pid;    # what a script left running ends with it
        $r->{reaped} = now();
    }
}

sub take {
    while (length $input >= 4 && length $input >= 4 + unpack 'N', $input) {
        my ($id, $op, $limit, $cap, $target, $handles, $stdin, @args) = unpack '(N/a*)*', unpack 'N/a*', $input;
        substr $input, 0, 4 + unpack('N', $input), '';
        if ($op eq 'ping') { answer($id, 'done', 0, 0, '', ''); next }
        if ($op eq 'cancel') {
            @queue = grep { $_->{id} ne $args[0] } @queue;
            finish($job{ $args[0] }, 'timeout') if $job{ $args[0] };
            next;
        }
        push @queue, { id => $id, op => $op, limit => $limit, cap => $cap, target => $target, handles => $handles, stdin => $stdin, args => \@args };
    }
    launch(shift @queue) while @queue && keys %job < PARALLEL;
}

while (1) {
    my ($read, $wait) = ('', undef);
    vec($read, 0, 1) = 1;
    for my $r (values %job) {
        for my $stream (qw(out err)) { vec($read, fileno $r->{$stream}, 1) = 1 if $r->{$stream} }
        $wait = 0.05;
    }
    my $n = select $read, undef, undef, $wait;
    $read = '' if $n < 0;
    if ($n > 0 && vec($read, 0, 1)) {
        my $got = sysread STDIN, $input, 65536, length $input;
        if (!defined $got) { $! == EINTR or last }
        elsif ($got == 0) { last }
    }
    for my $r (values %job) {
        for my $pair (['out', 'stdout'], ['err', 'stderr']) {
            my ($stream, $buffer) = @$pair;
            next unless $n > 0 && $r->{$stream} && vec($read, fileno $r->{$stream}, 1);
            my $got = sysread $r->{$stream}, my $bytes, 65536;
            if (!defined $got) { next if $! == EINTR; $got = 0 }
            if ($got == 0) { close $r->{$stream}; delete $r->{$stream}; next }
            my $room = $r->{cap} - length $r->{$buffer};
            if ($got > $room) { $r->{truncated} = 1; $bytes = substr $bytes, 0, $room }
            $r->{$buffer} .= $bytes;
        }
    }
    reap();
    for my $r (values %job) {
        if (!$r->{out} && !$r->{err} && !defined $r->{exit}) { select undef, undef, undef, 0.0005; reap() }
        if (defined $r->{exit} && ((!$r->{out} && !$r->{err}) || now() > $r->{reaped} + 100)) { finish($r, 'done') }
        elsif (now() >= $r->{end}) { finish($r, 'timeout') }
    }
    take();
}
kill 'KILL', -$_->{pid} for values %job;
for my $r (values %job) { system 'rm', '-rf', '--', $r->{work} if $r->{work} ne '' }
