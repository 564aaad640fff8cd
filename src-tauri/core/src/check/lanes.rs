//! Questions that would disturb each other take turns: one unseen host per address at a time, and few logins at once to
//! one SSH server (sshd drops unauthenticated connections at random from ten on, and a hardened one sooner: MaxStartups).

use super::observation::Ask;
use crate::template::scenario::{From, Probe};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const LOGINS: usize = 2;

#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Lanes {
    /// Waits for its turn; the turn ends when the permits are dropped. Always in the same order, so that no two wait for
    /// each other.
    pub async fn turn(&self, ask: &Ask, probe: &Probe) -> Vec<OwnedSemaphorePermit> {
        let mut permits = Vec::new();
        if let Ask::Look { from: From::Unseen { segment, address, .. }, .. } = ask {
            permits.extend(self.lane(format!("host {segment} {}", address.addr()), 1).acquire_owned().await.ok());
        }
        if let Probe::Ssh { to, port, .. } | Probe::SshMethods { to, port, .. } = probe {
            permits.extend(self.lane(format!("ssh {to} {port}"), LOGINS).acquire_owned().await.ok());
        }
        permits
    }

    fn lane(&self, name: String, width: usize) -> Arc<Semaphore> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.entry(name).or_insert_with(|| Arc::new(Semaphore::new(width))).clone()
    }
}
