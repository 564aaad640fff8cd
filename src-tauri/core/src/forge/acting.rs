//! What is done in a run, and in whose name, before the gates: the façade's side of `spawn::acting`.

use super::{Forge, clock, now};
use crate::api::{Caller, ResultSummary, Role};
use crate::audit::Fact;
use crate::error::Result;
use crate::scrub::Scrubber;
use crate::spawn::acting::{self, Act, Class, Part, Scene};
use crate::spawn::{Access, Capability};
use crate::store::runs;
use crate::template::scenario::Scenario;

/// Something to be done, before it is said by whom.
pub(super) struct Deed {
    name: &'static str,
    node: Option<String>,
    class: Class,
    command: String,
}

impl Deed {
    pub(super) fn new(name: &'static str, class: Class) -> Self {
        Self { name, node: None, class, command: String::new() }
    }

    pub(super) fn on(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    pub(super) fn running(mut self, command: String) -> Self {
        self.command = command;
        self
    }

    fn by(self, subject: &str, part: Part) -> Act {
        let Self { name, node, class, command } = self;
        Act { name, node, class, command, part, subject: subject.to_owned() }
    }
}

/// What a lab's attackers and defenders begin with by themselves, as their template says.
pub(super) fn startups(scenario: &Scenario) -> Vec<Act> {
    let acting = scenario.nodes.iter().filter(|n| !n.startup.is_empty()).filter_map(|node| {
        let part = match node.role {
            Role::Attacker => Part::Attacker,
            Role::Defender => Part::Defender,
            _ => return None,
        };
        let deed = Deed::new("startup", Class::Network).on(&node.name).running(node.startup.clone());
        Some(deed.by(&format!("{}/{}", scenario.lab, node.name), part))
    });
    acting.collect()
}

impl Forge {
    /// As the caller's doing: this installation's subject, as learner or instructor.
    pub(super) async fn by(&self, caller: &Caller, deed: Deed) -> Result<Vec<Act>> {
        self.by_all(caller, std::iter::once(deed)).await
    }

    pub(super) async fn by_all(&self, caller: &Caller, deeds: impl Iterator<Item = Deed>) -> Result<Vec<Act>> {
        let subject = self.standing().await?.subject;
        let part = if caller.instructor { Part::Instructor } else { Part::Learner };
        Ok(deeds.map(|deed| deed.by(&subject, part)).collect())
    }

    /// As the app's own doing, which somebody asked it for.
    pub(super) async fn by_itself(&self, name: &'static str, class: Class) -> Result<Act> {
        Ok(Deed::new(name, class).by(&self.standing().await?.subject, Part::System))
    }

    /// Asks both gates; what is allowed is counted and in the audit log, together with `also`, before it is done.
    pub(super) async fn may_act(&self, caller: &Caller, run: &str, acts: Vec<Act>, also: Option<Fact>) -> Result<()> {
        let (row, scenario) = (self.run_row(run).await?, self.scenario(run).await?);
        let scene = self.scene_of(&caller.correlation, run, &scenario, Some(&row)).await?;
        acting::act(&self.store, &self.policy, scene, acts, also).await
    }

    pub(super) async fn may_open(
        &self,
        caller: &Caller,
        row: &runs::Run,
        scenario: &Scenario,
        wanted: Capability,
    ) -> Result<()> {
        let scene = self.scene_of(&caller.correlation, &row.run, scenario, Some(row)).await?;
        acting::open(&self.store, &self.policy, scene, wanted).await
    }

    pub(super) async fn may_look(&self, caller: &Caller, result: &ResultSummary) -> Result<()> {
        let scene = Scene {
            run: result.run.clone(),
            lab: result.lab.clone(),
            track: result.track.clone(),
            access: self.access().await?,
            correlation: caller.correlation.clone(),
            scrubber: Scrubber::default(),
            now: now(),
            steady: now(),
        };
        acting::look(&self.store, &self.policy, scene).await
    }

    /// `row`: None before the run is ready, when it has no clock of its own yet.
    pub(super) async fn scene_of(
        &self,
        correlation: &str,
        run: &str,
        scenario: &Scenario,
        row: Option<&runs::Run>,
    ) -> Result<Scene> {
        Ok(Scene {
            run: run.to_owned(),
            lab: scenario.lab.clone(),
            track: scenario.track.clone(),
            access: self.access().await?,
            correlation: correlation.to_owned(),
            scrubber: super::submit::this_laptop(scenario),
            now: now(),
            steady: clock::steady(row.and_then(|r| r.started.as_ref())),
        })
    }

    async fn access(&self) -> Result<Access> {
        Ok(self.standing().await?.access)
    }
}
