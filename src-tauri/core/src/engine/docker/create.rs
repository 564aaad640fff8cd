//! From our specification of a container to Docker's. What is the same for all is not a choice: no network, no
//! capability but the named ones, no new privileges, our system call filter, a read-only root, nothing of the host.

use crate::engine::{ContainerSpec, seccomp};
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use std::collections::{BTreeMap, HashMap};

/// Writable and empty at each start, in every container: path, options.
const TMPFS: [(&str, &str); 4] = [
    ("/run", "rw,nosuid,nodev,size=16m,mode=755"),
    ("/tmp", "rw,nosuid,nodev,size=64m,mode=1777"),
    ("/var/tmp", "rw,nosuid,nodev,size=16m,mode=1777"),
    ("/var/log", "rw,nosuid,nodev,size=16m,mode=755"),
];

/// Set whatever the engine's own default is. Ports below 1024 and ICMP echo sockets need no capability then.
const SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// A program of the host has 1024.
const NODE_CPU_SHARES: i64 = 128;
const NODE_OOM_SCORE: i64 = 500;

pub(super) fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let mut tmpfs: HashMap<String, String> = TMPFS
        .iter()
        .filter(|(path, _)| !spec.volumes.iter().any(|v| v == path))
        .map(|(path, options)| ((*path).to_owned(), (*options).to_owned()))
        .collect();
    tmpfs.extend(spec.tmpfs.iter().map(|(path, options)| (path.clone(), options.clone())));

    // The host's own are not ours to set.
    let ours = SYSCTLS.iter().filter(|_| !spec.host_net);
    let mut sysctls: BTreeMap<String, String> =
        ours.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    sysctls.extend(spec.sysctls.clone());

    let mut security = vec!["no-new-privileges:true".to_owned(), format!("seccomp={}", seccomp::json(spec.seccomp))];
    if spec.host_pid {
        // SELinux would keep it out of other containers' /proc entries; engines without SELinux ignore it.
        security.push("label=disable".to_owned());
    }

    let mut limits = vec![limit("nofile", if spec.nofile > 0 { spec.nofile } else { 1024 }), limit("core", 0)];
    limits.extend(spec.file_bytes.map(|bytes| limit("fsize", bytes)));

    ContainerCreateBody {
        hostname: Some(spec.hostname.clone()).filter(|h| !h.is_empty()),
        image: Some(spec.image.clone()),
        cmd: Some(spec.command.clone()),
        env: Some(spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        volumes: Some(spec.volumes.clone()),
        host_config: Some(HostConfig {
            network_mode: Some(network(spec)),
            auto_remove: Some(spec.fleeting),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(spec.caps.clone()),
            security_opt: Some(security),
            readonly_rootfs: Some(true),
            privileged: Some(false),
            ipc_mode: Some("private".to_owned()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            pid_mode: spec.host_pid.then(|| "host".to_owned()),
            // The host's resolver and search domain are none of a lab's business.
            dns: Some(vec![spec.resolver.map_or_else(|| "127.0.0.1".to_owned(), |r| r.to_string())]),
            dns_search: Some(vec![".".to_owned()]),
            extra_hosts: Some(spec.hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect()),
            tmpfs: Some(tmpfs),
            sysctls: Some(sysctls.into_iter().collect()),
            shm_size: Some(16 << 20),
            nano_cpus: spec.nano_cpus,
            memory: spec.memory_bytes,
            // The same as memory: no swap on top of it.
            memory_swap: spec.memory_bytes,
            pids_limit: Some(spec.pids).filter(|n| *n > 0),
            ulimits: Some(limits),
            // Where processors or memory run short, the laptop's own programs come first; the fabric, which looks after the
            // nodes, counts as one of them.
            cpu_shares: (!spec.host_pid).then_some(NODE_CPU_SHARES),
            oom_score_adj: (!spec.host_pid).then_some(NODE_OOM_SCORE),
            restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([
                    ("max-size".to_owned(), "1m".to_owned()),
                    ("max-file".to_owned(), "1".to_owned()),
                ])),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn network(spec: &ContainerSpec) -> String {
    match (&spec.leg, spec.host_net) {
        (Some(leg), _) => leg.clone(),
        (None, true) => "host".to_owned(),
        (None, false) => "none".to_owned(),
    }
}

fn limit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn nothing_asked_for_is_everything_refused() {
        let host = body(&ContainerSpec::default()).host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(host.cap_add, Some(vec![]));
        assert_eq!(host.readonly_rootfs, Some(true));
        assert_eq!(host.pid_mode, None);
        assert_eq!((host.binds, host.mounts, host.devices), (None, None, None));
        let security = host.security_opt.unwrap();
        assert!(security.contains(&"no-new-privileges:true".to_owned()));
        assert!(security.iter().any(|s| s.starts_with("seccomp={")));
        assert!(!security.iter().any(|s| s.starts_with("label=")));
    }

    #[test]
    fn a_volume_takes_the_place_of_the_tmpfs_there() {
        let spec = ContainerSpec { volumes: vec!["/var/log".to_owned()], ..Default::default() };
        let tmpfs = body(&spec).host_config.unwrap().tmpfs.unwrap();
        assert!(!tmpfs.contains_key("/var/log") && tmpfs.contains_key("/run"));
    }

    #[test]
    fn a_node_comes_after_the_laptop_and_its_files_end_somewhere() {
        let spec = ContainerSpec { file_bytes: Some(1 << 20), ..Default::default() };
        let host = body(&spec).host_config.unwrap();
        assert_eq!((host.cpu_shares, host.oom_score_adj), (Some(128), Some(500)));
        let fsize = host.ulimits.unwrap().into_iter().find(|l| l.name.as_deref() == Some("fsize")).unwrap();
        assert_eq!((fsize.soft, fsize.hard), (Some(1 << 20), Some(1 << 20)));
        let fabric = body(&ContainerSpec { host_pid: true, ..Default::default() }).host_config.unwrap();
        assert_eq!((fabric.cpu_shares, fabric.oom_score_adj), (None, None));
    }

    #[test]
    fn the_guard_is_in_the_hosts_network_and_changes_none_of_its_settings() {
        let host = body(&ContainerSpec { host_net: true, fleeting: true, ..Default::default() }).host_config.unwrap();
        assert_eq!((host.network_mode.as_deref(), host.auto_remove), (Some("host"), Some(true)));
        assert_eq!(host.sysctls, Some(HashMap::new()));
        let node = body(&ContainerSpec::default()).host_config.unwrap();
        assert_eq!((node.auto_remove, node.sysctls.unwrap().len()), (Some(false), SYSCTLS.len()));
    }

    #[test]
    fn memory_allows_no_swap() {
        let spec = ContainerSpec { memory_bytes: Some(64 << 20), ..Default::default() };
        let host = body(&spec).host_config.unwrap();
        assert_eq!(host.memory_swap, host.memory);
    }
}
