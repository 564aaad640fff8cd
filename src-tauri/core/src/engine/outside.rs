//! What an isolation probe's controls need and a lab never gets: ordinary Docker networks, published ports, the host's own
//! network. A trait of its own, so that whoever holds an [`super::Engine`] alone cannot ask for any of it.

use super::{ContainerSpec, Labels};
use crate::error::Result;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// An ordinary Docker bridge, IPv6 included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Street {
    pub id: String,
    pub labels: Labels,
    /// The host's address on it.
    pub gateway: Option<Ipv4Addr>,
    /// Container id → its address there.
    pub residents: BTreeMap<String, Ipv4Addr>,
}

impl Street {
    /// The host's interface, as Docker names it.
    pub fn bridge(&self) -> String {
        format!("br-{}", self.id.get(..12).unwrap_or(&self.id))
    }
}

/// How a container stands in the world; everything else about it is as hardened as a lab's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The host's own network namespace.
    Host,
    Streets {
        /// Ids; the first is the one Docker gives it at creation.
        streets: Vec<String>,
        /// A TCP port, answered at this address of the host.
        published: Option<(Ipv4Addr, u16)>,
        /// Whom Docker's embedded resolver asks, and the domain it searches.
        resolver: Option<(Ipv4Addr, String)>,
        /// The container whose volumes it sees as well.
        volumes_of: Option<String>,
    },
}

#[async_trait]
pub trait Outside: Send + Sync {
    /// A bridge on a fresh subnet of Docker's choice; `ula` is its IPv6 prefix (a /64).
    async fn open_street(&self, name: &str, labels: &Labels, ula: &str) -> Result<Street>;
    /// With everybody who lives there by now.
    async fn street(&self, id: &str) -> Result<Street>;
    async fn streets(&self, labels: &[(&str, &str)]) -> Result<Vec<Street>>;
    /// Removing what is gone is not an error.
    async fn close_street(&self, id: &str) -> Result<()>;
    async fn create_outside(&self, spec: &ContainerSpec, reach: &Reach) -> Result<String>;
}
