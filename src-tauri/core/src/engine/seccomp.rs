//! The system calls a container of ours may make: an allowlist of our own, pinned with the program, whatever the engine's
//! default is. Everything else fails with EPERM, whatever capabilities the caller holds.
//!
//! That is what makes CAP_SYS_ADMIN bearable, without which FRR's daemons do not start: no mount call, no `setns`,
//! no `unshare` or `clone` into new namespaces, no `pivot_root`, `bpf`, `perf_event_open`, `keyctl`, `open_by_handle_at`,
//! `kexec_load`, module loading, `ptrace`, `userfaultfd` or `io_uring` is on any list for a node. 32-bit calls are not served.
//!
//! Format: the Docker Engine's seccomp profile, see seccomp_rule_add(3) for the comparisons.

use super::SeccompProfile;
use serde_json::{Value, json};

/// Files and what is in them.
const FILES: &str = "access chdir chmod chown chroot close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 \
    fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr \
    fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init \
    inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat \
    memfd_create mkdir mkdirat mknod mknodat newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev \
    pwritev2 read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat \
    statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice \
    write writev";

/// Memory.
const MEMORY: &str = "brk get_mempolicy madvise membarrier mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock \
    munlockall munmap pkey_alloc pkey_free pkey_mprotect";

/// Processes, their identity and their limits. Identity changes need their capability besides.
const PROCESSES: &str = "arch_prctl capget capset execve execveat exit exit_group fork getegid geteuid getgid getgroups getpgid \
    getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set kill \
    pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo \
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity \
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam \
    sched_setscheduler sched_yield seccomp set_robust_list get_robust_list set_tid_address setfsgid setfsuid setgid setgroups \
    setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack tgkill tkill times uname vfork \
    wait4 waitid landlock_add_rule landlock_create_ruleset landlock_restrict_self getcpu sysinfo getrandom";

/// Waiting, timers and the clock (reading it).
const WAITING: &str = "alarm clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 futex futex_waitv futex_wait futex_wake futex_requeue \
    getitimer gettimeofday nanosleep pause poll ppoll pselect6 select setitimer signalfd signalfd4 time timer_create timer_delete \
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime io_setup io_destroy io_submit \
    io_cancel io_getevents io_pgetevents";

/// Sockets, once they exist; which families may be opened is [`FAMILIES`]. System V and POSIX message passing.
const TALKING: &str = "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg \
    sendmsg sendto setsockopt shutdown socketpair mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl \
    msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget";

/// AF_UNIX, AF_INET, AF_INET6, AF_PACKET; of AF_NETLINK only [`NETLINK`]. Not AF_VSOCK (a way to the hypervisor's host), nor AF_ALG, AF_XDP and the
/// rarely used ones in which kernel bugs live.
const FAMILIES: [u64; 4] = [1, 2, 10, 17];
const AF_NETLINK: u64 = 16;
const AF_VSOCK: u64 = 40;
/// NETLINK_ROUTE, SOCK_DIAG, XFRM, NETFILTER, GENERIC.
const NETLINK: [u64; 5] = [0, 4, 6, 12, 16];
/// The host's audit log is not a node's to write. sshd ends a terminal session when it may not (EPERM), but goes on when the
/// kernel knows no such family.
const NETLINK_AUDIT: u64 = 9;
const EAFNOSUPPORT: u32 = 97;

/// `personality` values that change nothing but what uname says, plus the query.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// All CLONE_NEW* flags of clone(2) but CLONE_NEWTIME, whose bit clone cannot take.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
const CLONE_NEWNET: u64 = 0x4000_0000;
const ENOSYS: u32 = 38;

/// The profile as the Engine API takes it in `SecurityOpt`.
pub fn json(profile: SeccompProfile) -> String {
    profile_value(profile).to_string()
}

fn profile_value(profile: SeccompProfile) -> Value {
    let names: Vec<&str> =
        [FILES, MEMORY, PROCESSES, WAITING, TALKING].iter().flat_map(|group| group.split_whitespace()).collect();
    let mut rules = vec![json!({"names": names, "action": "SCMP_ACT_ALLOW"})];
    rules.extend(FAMILIES.iter().map(|family| allow_if("socket", 0, *family)));
    rules.extend(NETLINK.iter().map(|protocol| netlink("SCMP_ACT_ALLOW", *protocol)));
    let mut audit = netlink("SCMP_ACT_ERRNO", NETLINK_AUDIT);
    if let Some(rule) = audit.as_object_mut() {
        rule.insert("errnoRet".to_owned(), json!(EAFNOSUPPORT));
    }
    rules.push(audit);
    rules.extend(PERSONALITIES.iter().map(|value| allow_if("personality", 0, *value)));
    rules.push(json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}));
    // Its flags lie in memory, where a filter cannot look; with ENOSYS the C library falls back to clone.
    rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}));
    match profile {
        // A router has more capabilities than a node, and for that very reason no more calls.
        SeccompProfile::Node | SeccompProfile::Router => {}
        SeccompProfile::Fabric => {
            // `nsenter --net` into a node, and a namespace of its own for a segment's bridge or an unseen host.
            rules.push(allow_if("setns", 1, CLONE_NEWNET));
            rules.push(allow_if("unshare", 0, CLONE_NEWNET));
        }
        SeccompProfile::Control => rules.push(allow_if("socket", 0, AF_VSOCK)),
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        // Native calls only, of whatever machine the daemon runs on.
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": rules,
    })
}

fn allow_if(name: &str, index: u32, value: u64) -> Value {
    json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [{"index": index, "value": value, "op": "SCMP_CMP_EQ"}]})
}

fn netlink(action: &str, protocol: u64) -> Value {
    json!({"names": ["socket"], "action": action, "args": [
        {"index": 0, "value": AF_NETLINK, "op": "SCMP_CMP_EQ"},
        {"index": 2, "value": protocol, "op": "SCMP_CMP_EQ"},
    ]})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use std::collections::BTreeSet;

    /// Calls allowed without a condition.
    fn open(profile: SeccompProfile) -> BTreeSet<String> {
        let value = profile_value(profile);
        let rules = value["syscalls"].as_array().unwrap();
        rules
            .iter()
            .filter(|r| r["action"] == "SCMP_ACT_ALLOW" && r.get("args").is_none())
            .flat_map(|r| r["names"].as_array().unwrap())
            .map(|n| n.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn no_profile_opens_a_way_out() {
        let dangerous = "mount umount2 mount_setattr move_mount open_tree fsopen fsmount fsconfig fspick setns unshare pivot_root bpf \
            perf_event_open keyctl add_key request_key open_by_handle_at name_to_handle_at kexec_load kexec_file_load init_module \
            finit_module delete_module ptrace process_vm_readv process_vm_writev pidfd_getfd userfaultfd io_uring_setup \
            io_uring_enter io_uring_register clone clone3 socket personality iopl ioperm reboot swapon swapoff acct quotactl syslog \
            settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname lookup_dcookie fanotify_init kcmp";
        for profile in [SeccompProfile::Node, SeccompProfile::Router, SeccompProfile::Fabric, SeccompProfile::Control] {
            let open = open(profile);
            for call in dangerous.split_whitespace() {
                assert!(!open.contains(call), "{call} is open in {profile:?}");
            }
        }
    }

    #[test]
    fn only_the_fabric_may_change_network_namespaces_and_no_others() {
        let rules_for = |profile, name: &str| -> Vec<Value> {
            let value = profile_value(profile);
            value["syscalls"].as_array().unwrap().iter().filter(|r| r["names"] == json!([name])).cloned().collect()
        };
        for name in ["setns", "unshare"] {
            assert!(rules_for(SeccompProfile::Node, name).is_empty());
            assert!(rules_for(SeccompProfile::Router, name).is_empty());
            let rules = rules_for(SeccompProfile::Fabric, name);
            assert_eq!(rules.len(), 1);
            assert_eq!(rules[0]["args"][0]["value"], json!(CLONE_NEWNET));
        }
    }
}
