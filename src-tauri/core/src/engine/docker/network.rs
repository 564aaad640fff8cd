//! Between our networks and Docker's: what a gateway's outer side asks for, and what came of it.

use crate::engine::{Labels, Network};
use crate::error::{Code, Error, Result};
use bollard::models::{Ipam, NetworkCreateRequest};
use ipnet::IpNet;
use std::collections::HashMap;

/// Containers on it do not reach each other, and it has no IPv6: there is one container on it, and one way out of that.
pub(super) fn request(name: &str, labels: &Labels) -> NetworkCreateRequest {
    let options =
        [("com.docker.network.bridge.enable_icc", "false"), ("com.docker.network.bridge.enable_ip_masquerade", "true")];
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        internal: Some(false),
        attachable: Some(false),
        enable_ipv6: Some(false),
        options: Some(options.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect::<HashMap<_, _>>()),
        labels: Some(labels.clone().into_iter().collect()),
        ..Default::default()
    }
}

pub(super) fn found(network: bollard::models::Network) -> Result<Network> {
    Ok(Network {
        id: network.id.unwrap_or_default(),
        labels: network.labels.unwrap_or_default().into_iter().collect(),
        subnets: subnets(network.ipam)?,
    })
}

pub(super) fn subnets(ipam: Option<Ipam>) -> Result<Vec<IpNet>> {
    let written = ipam.and_then(|i| i.config).unwrap_or_default().into_iter().filter_map(|c| c.subnet);
    written
        .map(|s| {
            s.parse()
                .map_err(|_| Error::new(Code::DockerFailed, format!("Docker names a subnet “{s}”, which is none.")))
        })
        .collect()
}
