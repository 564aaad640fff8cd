//! What this machine has and lacks, in words, each with its remedy. Pure: [`Facts`] are gathered by the façade.

use super::lineage::Told;
use crate::api::{DoctorReport, DoctorRow, Fix, Health, ImageInfo, KeysKept};
use crate::engine::EngineInfo;
use crate::error::Error;

pub const GIB: u64 = 1 << 30;
/// Under this much memory even the smallest lab starves.
const MEMORY_LEAST: u64 = GIB;
const MEMORY_GOOD: u64 = 4 * GIB;
/// Images, a few runs and their evidence.
const DISK_LEAST: u64 = GIB;
const DISK_GOOD: u64 = 5 * GIB;
/// Oldest engine the design was measured on.
const ENGINE_OLDEST: (u32, u32) = (20, 10);

pub struct Facts {
    pub docker: Result<EngineInfo, Error>,
    pub images: Result<Vec<ImageInfo>, Error>,
    /// The two-node wiring trial: milliseconds it took; None when it could not be tried yet.
    pub wiring: Option<Result<u64, Error>>,
    /// Whether the kernel holds an egress gateway's filter, and whom gateways would ask for names; None when it could not be tried.
    pub egress: Option<(bool, Result<Vec<std::net::Ipv4Addr>, Error>)>,
    pub free_bytes: Option<u64>,
    pub keys: KeysKept,
    /// Keys that were removed or replaced by hand.
    pub exchanged: Result<Vec<Told>, Error>,
    pub policy_digest: Result<String, Error>,
    pub broken_labs: Vec<String>,
    pub home: String,
    pub linux: bool,
}

pub fn report(facts: &Facts) -> DoctorReport {
    let mut rows = vec![docker(facts)];
    if let Ok(info) = &facts.docker {
        rows.push(memory(info));
        rows.push(images(&facts.images));
        rows.push(wiring(facts));
        rows.extend(facts.egress.as_ref().map(|(filter, resolvers)| egress(*filter, resolvers)));
    }
    rows.extend(exchanged(&facts.exchanged));
    rows.extend([disk(facts), policies(&facts.policy_digest), labs(&facts.broken_labs), keys(&facts.keys)]);
    DoctorReport { ready: rows.iter().all(|r| r.state != Health::Fail), rows }
}

fn row(id: &str, title: &str, why: &str, state: Health, detail: impl Into<String>) -> DoctorRow {
    DoctorRow { id: id.into(), title: title.into(), state, detail: detail.into(), why: why.into(), fix: None }
}

fn with(mut row: DoctorRow, fix: Fix) -> DoctorRow {
    row.fix = Some(fix);
    row
}

fn shell(label: &str, command: &str) -> Fix {
    Fix::Shell { label: label.into(), command: command.into() }
}

fn docker(facts: &Facts) -> DoctorRow {
    let why = "Every node of a lab is a container; nothing starts without a Docker engine.";
    match &facts.docker {
        Ok(info) if version(&info.version) < ENGINE_OLDEST => with(
            row(
                "docker",
                "Docker engine",
                why,
                Health::Warn,
                format!("{} is older than what is tested (20.10).", info.version),
            ),
            shell("Update Docker", "sudo apt-get install docker.io"),
        ),
        Ok(info) => row(
            "docker",
            "Docker engine",
            why,
            Health::Ok,
            format!("{} on {} ({}, cgroup v{})", info.version, info.os, info.kernel, info.cgroup_version),
        ),
        Err(e) => with(
            row("docker", "Docker engine", why, Health::Fail, e.message.clone()),
            if facts.linux {
                shell("Start Docker", "sudo systemctl start docker || sudo service docker start")
            } else {
                shell("Start Docker Desktop", "open -a Docker")
            },
        ),
    }
}

fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split(['.', '+', '-', '~']).map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn memory(info: &EngineInfo) -> DoctorRow {
    let why = "A lab's nodes share the memory its template asks for; the laptop needs the rest.";
    let total = info.memory_bytes;
    let detail = format!("{:.1} GiB and {} CPUs for containers", total as f64 / GIB as f64, info.cpus);
    let state = match total {
        n if n < MEMORY_LEAST => Health::Fail,
        n if n < MEMORY_GOOD => Health::Warn,
        _ => Health::Ok,
    };
    row("memory", "Memory", why, state, detail)
}

fn images(images: &Result<Vec<ImageInfo>, Error>) -> DoctorRow {
    let why = "Labs start from images prepared once on this machine; after that no network is needed.";
    let fix = || Fix::Call {
        label: "Prepare".into(),
        command: "prepare_images".into(),
        args: serde_json::json!({"images": []}),
    };
    match images {
        Ok(list) => {
            let missing: Vec<&str> = list.iter().filter(|i| !i.ready).map(|i| i.name.as_str()).collect();
            if missing.is_empty() {
                row("images", "Lab images", why, Health::Ok, format!("all {} prepared", list.len()))
            } else {
                with(
                    row("images", "Lab images", why, Health::Fail, format!("to prepare: {}", missing.join(", "))),
                    fix(),
                )
            }
        }
        Err(e) => with(row("images", "Lab images", why, Health::Fail, e.message.clone()), fix()),
    }
}

fn wiring(facts: &Facts) -> DoctorRow {
    let why = "Nodes are joined by links made inside the engine's kernel, never by a Docker network.";
    match &facts.wiring {
        Some(Ok(ms)) => {
            row("wiring", "Wiring", why, Health::Ok, format!("two trial nodes wired and reached each other in {ms} ms"))
        }
        Some(Err(e)) => {
            let mut r = row("wiring", "Wiring", why, Health::Fail, e.message.clone());
            if let Some(hint) = e.hints.first() {
                r.detail = format!("{} {hint}", r.detail);
            }
            r
        }
        None => row("wiring", "Wiring", why, Health::Warn, "not tried yet: the images come first"),
    }
}

fn egress(filter: bool, resolvers: &Result<Vec<std::net::Ipv4Addr>, Error>) -> DoctorRow {
    let why =
        "Labs that may reach out do so through a gateway that filters; all others have no way out, whatever this says.";
    match (filter, resolvers) {
        (false, _) => row(
            "egress",
            "Egress gateway",
            why,
            Health::Warn,
            "the kernel lacks what the filter needs (nftables with timed sets, named counters and NAT): labs with an allowlist do not start",
        ),
        (true, Err(e)) => row(
            "egress",
            "Egress gateway",
            why,
            Health::Warn,
            e.hints.first().map_or_else(|| e.message.clone(), |hint| format!("{} {hint}", e.message)),
        ),
        (true, Ok(list)) => {
            let asked: Vec<String> = list.iter().map(ToString::to_string).collect();
            row(
                "egress",
                "Egress gateway",
                why,
                Health::Ok,
                format!("the kernel can filter; names are asked of {}", asked.join(", ")),
            )
        }
    }
}

fn disk(facts: &Facts) -> DoctorRow {
    let why = "Evidence and verdicts are written before they are shown; a full disk would stop a submission.";
    let Some(free) = facts.free_bytes else {
        return row("disk", "Disk", why, Health::Warn, format!("free space of {} is unknown", facts.home));
    };
    let state = match free {
        n if n < DISK_LEAST => Health::Fail,
        n if n < DISK_GOOD => Health::Warn,
        _ => Health::Ok,
    };
    row("disk", "Disk", why, state, format!("{:.1} GiB free for {}", free as f64 / GIB as f64, facts.home))
}

fn policies(digest: &Result<String, Error>) -> DoctorRow {
    let why = "Each start passes gates written as policies; without them everything is refused.";
    match digest {
        Ok(d) => row("policies", "Policies", why, Health::Ok, format!("loaded, bundle {}", d.get(..12).unwrap_or(d))),
        Err(e) => row("policies", "Policies", why, Health::Fail, e.message.clone()),
    }
}

fn labs(broken: &[String]) -> DoctorRow {
    let why = "A template that cannot be read is left out of the library rather than half-loaded.";
    match broken {
        [] => row("labs", "Lab templates", why, Health::Ok, "all read without a complaint"),
        list => row("labs", "Lab templates", why, Health::Warn, list.join("\n")),
    }
}

fn exchanged(told: &Result<Vec<Told>, Error>) -> Vec<DoctorRow> {
    let why = "What your key signed proves where it comes from only as long as the key is known to be yours.";
    let one = |state, detail: &str| row("keys-exchanged", "Replaced key", why, state, detail);
    match told {
        Err(e) => vec![one(Health::Warn, &e.message)],
        Ok(told) => told
            .iter()
            .map(|t| {
                let found = one(if t.warn { Health::Warn } else { Health::Ok }, &t.text);
                match &t.command {
                    Some(command) => with(found, shell("Enrol again, with a code from your instructor", command)),
                    None => found,
                }
            })
            .collect(),
    }
}

fn keys(keys: &KeysKept) -> DoctorRow {
    let why = "Your key signs your verdicts: it proves where they come from.";
    let state = if keys.warning.is_some() { Health::Warn } else { Health::Ok };
    let told = row("keys", "Signing key", why, state, keys.warning.clone().unwrap_or_else(|| keys.told.clone()));
    match &keys.command {
        Some(command) => with(told, shell("Keep the keys better", command)),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::KeyPlace;
    use crate::error::Code;

    fn kept(warning: Option<&str>) -> KeysKept {
        KeysKept {
            place: if warning.is_some() { KeyPlace::Plain } else { KeyPlace::Os },
            told: "somewhere".into(),
            warning: warning.map(str::to_owned),
            command: warning.map(|_| "forge keys protect --os".into()),
        }
    }

    fn good() -> Facts {
        Facts {
            docker: Ok(EngineInfo {
                version: "20.10.24+dfsg1".into(),
                memory_bytes: 8 * GIB,
                cpus: 2,
                ..Default::default()
            }),
            images: Ok(Vec::new()),
            wiring: Some(Ok(80)),
            egress: Some((true, Ok(vec![std::net::Ipv4Addr::new(192, 168, 1, 1)]))),
            free_bytes: Some(50 * GIB),
            keys: kept(None),
            exchanged: Ok(Vec::new()),
            policy_digest: Ok("ab".repeat(32)),
            broken_labs: Vec::new(),
            home: "/data".into(),
            linux: true,
        }
    }

    fn state(facts: &Facts, id: &str) -> Health {
        report(facts).rows.iter().find(|r| r.id == id).unwrap().state
    }

    #[test]
    fn a_good_machine_is_ready() {
        assert!(report(&good()).ready);
        assert!(report(&good()).rows.iter().all(|r| r.state == Health::Ok));
    }

    #[test]
    fn each_lack_is_a_row_with_a_way_out() {
        let gone = Facts { docker: Err(Error::new(Code::DockerUnavailable, "No answer.")), ..good() };
        let r = report(&gone);
        assert!(!r.ready);
        assert!(r.rows.iter().find(|r| r.id == "docker").unwrap().fix.is_some());
        assert!(r.rows.iter().all(|r| r.id != "memory"), "nothing is claimed about an engine that does not answer");

        let info =
            |version: &str, memory| EngineInfo { version: version.into(), memory_bytes: memory, ..Default::default() };
        assert_eq!(state(&Facts { docker: Ok(info("19.3.1", 8 * GIB)), ..good() }, "docker"), Health::Warn);
        assert_eq!(state(&Facts { docker: Ok(info("29.1.0", GIB / 2)), ..good() }, "memory"), Health::Fail);
        assert_eq!(state(&Facts { egress: Some((false, Ok(vec![]))), ..good() }, "egress"), Health::Warn);
        let nobody = Some((true, Err(Error::new(Code::MachineLacks, "Nobody to ask."))));
        assert_eq!(state(&Facts { egress: nobody, ..good() }, "egress"), Health::Warn);
        assert!(
            report(&Facts { egress: None, ..good() }).rows.iter().all(|r| r.id != "egress"),
            "not tried, not claimed"
        );
        assert_eq!(state(&Facts { free_bytes: Some(1), ..good() }, "disk"), Health::Fail);
        assert_eq!(state(&Facts { free_bytes: None, ..good() }, "disk"), Health::Warn);
        assert_eq!(state(&Facts { wiring: None, ..good() }, "wiring"), Health::Warn);
        let plain = report(&Facts { keys: kept(Some("a file")), ..good() });
        let row = plain.rows.iter().find(|r| r.id == "keys").unwrap();
        assert_eq!((row.state, row.detail.as_str()), (Health::Warn, "a file"));
        assert!(matches!(&row.fix, Some(Fix::Shell { command, .. }) if command == "forge keys protect --os"));
        let told = |warn, command: Option<&str>| {
            Ok(vec![Told { text: "On a day".into(), warn, command: command.map(str::to_owned) }])
        };
        let unknown = report(&Facts { exchanged: told(true, Some("forge enrol URL CODE")), ..good() });
        let row = unknown.rows.iter().find(|r| r.id == "keys-exchanged").unwrap();
        assert_eq!((row.state, row.detail.as_str(), unknown.ready), (Health::Warn, "On a day", true));
        assert!(matches!(&row.fix, Some(Fix::Shell { command, .. }) if command == "forge enrol URL CODE"));
        assert_eq!(state(&Facts { exchanged: told(false, None), ..good() }, "keys-exchanged"), Health::Ok);
        assert_eq!(state(&Facts { broken_labs: vec!["x: 3:4 no".into()], ..good() }, "labs"), Health::Warn);
    }
}
