//! In whose name labs are started here, under which plan, and who pays for it.

use super::{Forge, now};
use crate::api::{Caller, Level, PlanMode, Settings};
use crate::error::{Code, Error, Result};
use crate::spawn::billing::{Billing, Gateway, Order};
use crate::spawn::{self, Access, Entitlement, Machine};
use crate::store::settings;

/// On a laptop used alone everything is one subject's, of one organisation.
const ALONE: &str = "local";

pub(super) struct Standing {
    pub subject: String,
    pub tenant: String,
    /// On which tracks, and until when.
    pub access: Access,
    pub billing: Billing,
    /// Without a gateway; a gateway grants one at each start.
    pub entitlement: Entitlement,
    /// Where plan and payment come from, for people.
    pub from: String,
}

impl Standing {
    /// The environment goes before the settings: on a machine that is somebody else's, whoever runs it decides.
    fn read(set: &Settings, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let env = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let pick = |name: &str, set: &str| match env(name) {
            Some(value) => (value, name.to_owned()),
            None => (set.trim().to_owned(), "the settings".to_owned()),
        };
        let subject = env("FORGE_SUBJECT").unwrap_or_else(|| ALONE.into());
        let tenant = env("FORGE_TENANT").unwrap_or_else(|| ALONE.into());
        spawn::check_subject(&subject)?;
        spawn::check_subject(&tenant)?;
        if spawn::names_a_tenant(&subject) {
            return Err(Error::new(
                Code::InvalidInput,
                format!("FORGE_SUBJECT is “{subject}”, which names an organisation."),
            )
            .hint("Organisations go into FORGE_TENANT."));
        }
        let access = Access::read(&tenant, env("FORGE_TRACKS").as_deref(), env("FORGE_ACCESS_UNTIL").as_deref())?;
        let (url, url_from) = pick("FORGE_BILLING_URL", &set.billing_url);
        let (key, _) = pick("FORGE_BILLING_KEY", &set.billing_key);
        let billing = Billing::configured(&url, &key)?;
        let (plan, plan_from) = pick("FORGE_PLAN", &set.plan);
        let (entitlement, from) = match (&billing, plan.as_str()) {
            (Billing::Gateway(_), _) => {
                (Entitlement::Practice, format!("each start is granted and charged by a gateway, by {url_from}"))
            }
            (Billing::Stub, "") => {
                (Entitlement::Practice, "no plan is set: this machine’s own size is the limit".to_owned())
            }
            (Billing::Stub, plan) => (Entitlement::Plan(plan.to_owned()), format!("set by {plan_from}")),
        };
        Ok(Self { subject, tenant, access, billing, entitlement, from })
    }

    pub(super) fn mode(&self) -> PlanMode {
        match (&self.billing, &self.entitlement) {
            (Billing::Gateway(_), _) => PlanMode::Gateway,
            (Billing::Stub, Entitlement::Practice) => PlanMode::Practice,
            (Billing::Stub, _) => PlanMode::Plan,
        }
    }
}

/// Megabytes that the operator wants to stay free, where that is more than the policy's floor.
fn wanted_floor(name: &str) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) if !text.trim().is_empty() => text.trim().parse().map_err(|_| {
            Error::new(Code::InvalidInput, format!("{name} is “{text}”, which is not a number of MiB."))
                .hint(format!("For example {name}=2048."))
        }),
        _ => Ok(0),
    }
}

/// MiB that programs could still be given, from the kernel's own account; None when that account is of another machine than the
/// engine's (its memory is not the same), as where Docker runs in a virtual one.
fn memory_free_mb(account: &str, engines_bytes: u64) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let line = account.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    (kib("MemTotal")? << 10 == engines_bytes).then_some(kib("MemAvailable")? >> 10)
}

impl Forge {
    pub(super) async fn standing(&self) -> Result<Standing> {
        let (set, _) = self.store.read(settings::get).await?;
        Standing::read(&set, |name| std::env::var(name).ok())
    }

    /// Whether settings could be worked with, before they are kept.
    pub(super) async fn check_plan(&self, set: &Settings) -> Result<()> {
        let standing = Standing::read(set, |_| None)?;
        let machine = Machine {
            cpus: 1,
            memory_mb: 1024,
            disk_free_mb: None,
            disk_floor_mb: 0,
            memory_free_mb: None,
            memory_floor_mb: 0,
        };
        spawn::ceilings(&self.policy, &standing.entitlement, &machine).map(drop)
    }

    /// The machine as the quota gate sees it. Fails as Docker does when it does not answer.
    pub(super) async fn machine_now(&self) -> Result<Machine> {
        let info = self.engine.info().await?;
        // Where there is none, nothing is told.
        let account = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let docker = std::path::Path::new(&info.root_dir);
        let free = [Some(self.options.home.as_path()), docker.is_dir().then_some(docker)]
            .into_iter()
            .flatten()
            .filter_map(crate::store::free_bytes)
            .min();
        Ok(Machine {
            cpus: info.cpus,
            memory_mb: info.memory_bytes >> 20,
            disk_free_mb: free.map(|bytes| bytes >> 20),
            disk_floor_mb: wanted_floor("FORGE_DISK_FLOOR_MB")?,
            memory_free_mb: memory_free_mb(&account, info.memory_bytes),
            memory_floor_mb: wanted_floor("FORGE_MEMORY_FLOOR_MB")?,
        })
    }

    /// Grants and charges a start, unless the gates would refuse it anyway.
    pub(super) async fn pay(&self, caller: &Caller, gateway: &Gateway, asked: &mut spawn::Request) -> Result<()> {
        let order = Order {
            subject: asked.subject.clone(),
            tenant: asked.tenant.clone(),
            lab: asked.scenario.lab.clone(),
            request_id: asked.request_id.clone(),
            nonce: spawn::draw_jti(&mut rand::rng()),
            correlation: caller.correlation.clone(),
        };
        let quote = gateway.quote(&self.store, &order, now()).await?;
        asked.entitlement = quote.entitlement();
        spawn::rehearse(&self.store, &self.policy, asked.clone()).await?;
        asked.settlement = gateway.settle(&self.store, quote, &order, now()).await?;
        asked.now = now();
        let text = format!("Paid for {} under the {} plan.", asked.scenario.title, asked.entitlement.plan());
        let data = serde_json::json!({"order": asked.settlement.order()});
        self.emit(caller, None, "billing.charged", Level::Info, text, data).await;
        Ok(())
    }

    /// A refusal while somebody else holds most of the machine is told to whoever watches it, not to the refused.
    pub(super) async fn tell_unfair(&self, caller: &Caller, mut refusal: Error) -> Error {
        let unfair = refusal.details.as_object_mut().and_then(|d| d.remove("unfair"));
        if let Some(unfair) = unfair.and_then(|u| serde_json::from_value::<spawn::Unfair>(u).ok()) {
            let text = format!(
                "{} holds {} % of the memory that this machine has for labs, while {} was refused.",
                unfair.holder, unfair.percent, unfair.refused
            );
            tracing::warn!(holder = unfair.holder, refused = unfair.refused, percent = unfair.percent, "{text}");
            let data = serde_json::json!(unfair);
            self.emit(caller, None, "quota.unfair", Level::Warn, text, data).await;
        }
        refusal
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn read(set: &Settings, vars: &[(&str, &str)]) -> Result<Standing> {
        Standing::read(set, |n| vars.iter().find(|(k, _)| *k == n).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn alone_it_is_practice_and_a_plan_changes_that() {
        let alone = read(&Settings::default(), &[]).unwrap();
        assert_eq!((alone.subject.as_str(), alone.mode()), ("local", PlanMode::Practice));
        let set = Settings { plan: "basic".into(), ..Settings::default() };
        assert_eq!(read(&set, &[]).unwrap().entitlement, Entitlement::Plan("basic".into()));
        let env = read(&set, &[("FORGE_PLAN", "free"), ("FORGE_SUBJECT", "ada@x")]).unwrap();
        assert_eq!((env.entitlement.plan(), env.subject.as_str()), ("free", "ada@x"));
        assert!(env.from.contains("FORGE_PLAN"));
    }

    #[test]
    fn free_memory_is_told_only_of_the_engines_own_machine() {
        let account = "MemTotal:        4096 kB\nMemFree:          100 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(memory_free_mb(account, 4 << 20), Some(2));
        assert_eq!(memory_free_mb(account, 8 << 20), None);
        assert_eq!(memory_free_mb("MemTotal: many\n", 0), None);
        assert_eq!(memory_free_mb("", 0), None);
    }

    #[test]
    fn half_a_gateway_is_an_error_not_a_free_lab() {
        let vars = [("FORGE_BILLING_URL", "http://127.0.0.1:1"), ("FORGE_BILLING_KEY", KEY)];
        assert_eq!(read(&Settings::default(), &vars).unwrap().mode(), PlanMode::Gateway);
        for half in [&vars[..1], &vars[1..]] {
            assert!(matches!(read(&Settings::default(), half), Err(e) if e.code == Code::InvalidInput));
        }
        assert!(read(&Settings::default(), &[("FORGE_BILLING_URL", "http://pay.example"), vars[1]]).is_err());
        assert!(read(&Settings::default(), &[("FORGE_SUBJECT", "a b")]).is_err());
    }
}
