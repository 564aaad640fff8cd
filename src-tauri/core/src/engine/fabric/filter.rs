//! The egress gateway's packet filter: put in place and read from outside.

use super::{Fabric, Place, text};
use crate::engine::gateway;
use crate::error::{Code, Error, Result};
use std::time::Duration;

/// How long setting up or reading a packet filter may take.
const FILTER: Duration = Duration::from_secs(10);

impl Fabric {
    /// Puts the egress gateway's packet filter in place, from outside, and asks the kernel whether it is. Nothing changes where
    /// it is already: its sets and counts stay. True when it had to be (re)made.
    pub async fn fence(&self, place: &Place, rules: &[serde_json::Value]) -> Result<bool> {
        let held = self.filter(place).await?;
        if held.is_some_and(|listing| gateway::verify(rules, &listing).is_ok()) {
            return Ok(false);
        }
        // One transaction: there is no moment without rules.
        let table = serde_json::json!({"family": "inet", "name": gateway::TABLE});
        let fresh = [serde_json::json!({"add": {"table": table}}), serde_json::json!({"delete": {"table": table}})];
        let adds = rules.iter().map(|object| serde_json::json!({"add": object}));
        let batch = serde_json::json!({"nftables": fresh.into_iter().chain(adds).collect::<Vec<_>>()}).to_string();
        let ran = self.run(Some(place), &[], &["nft", "-j", "-f", "-"], batch.as_bytes(), FILTER).await?;
        if ran.exit != 0 {
            let said = text(if ran.stderr.is_empty() { &ran.stdout } else { &ran.stderr });
            return Err(Error::new(
                Code::MachineLacks,
                format!("The egress gateway's packet filter cannot be set up on this kernel: {said}"),
            )
            .hint("It needs nftables with named counters, timed sets and NAT; `forge doctor` tests that."));
        }
        let listing = self.filter(place).await?.unwrap_or_default();
        gateway::verify(rules, &listing)?;
        Ok(true)
    }

    /// The packet filter as the kernel lists it; None when there is none.
    pub async fn filter(&self, place: &Place) -> Result<Option<Vec<u8>>> {
        let argv = ["nft", "-j", "list", "table", "inet", gateway::TABLE];
        let ran = self.run(Some(place), &[], &argv, &[], FILTER).await?;
        Ok(if ran.exit == 0 && !ran.truncated { Some(ran.stdout) } else { None })
    }
}
