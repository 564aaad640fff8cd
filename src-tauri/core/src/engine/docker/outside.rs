//! Ordinary Docker networks, for the controls of isolation probes alone.

use super::{CALL, Docker, bounded, create, label_filter};
use crate::engine::outside::{Outside, Reach, Street};
use crate::engine::{ContainerSpec, Labels};
use crate::error::{Code, Result};
use async_trait::async_trait;
use bollard::models::{
    ContainerCreateBody, EndpointResource, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, PortBinding,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, ListNetworksOptionsBuilder};
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

fn found(id: Option<String>, labels: Option<HashMap<String, String>>, ipam: Option<Ipam>) -> Street {
    let configs = ipam.and_then(|i| i.config).unwrap_or_default();
    Street {
        id: id.unwrap_or_default(),
        labels: labels.unwrap_or_default().into_iter().collect(),
        gateway: configs.into_iter().filter_map(|c| c.gateway).find_map(|g| g.parse().ok()),
        residents: BTreeMap::new(),
    }
}

fn residents(containers: Option<HashMap<String, EndpointResource>>) -> BTreeMap<String, Ipv4Addr> {
    let address = |e: EndpointResource| e.ipv4_address?.split('/').next()?.parse().ok();
    containers.unwrap_or_default().into_iter().filter_map(|(id, e)| Some((id, address(e)?))).collect()
}

fn reaching(mut body: ContainerCreateBody, reach: &Reach) -> ContainerCreateBody {
    let Some(host) = body.host_config.as_mut() else { return body };
    match reach {
        Reach::Host => {
            host.network_mode = Some("host".to_owned());
            // They belong to the namespace, which is the host's, and so are not this container's to set.
            host.sysctls = None;
            body.hostname = None;
        }
        Reach::Streets { streets, published, resolver, volumes_of } => {
            host.network_mode = streets.first().cloned();
            host.volumes_from = volumes_of.as_ref().map(|id| vec![id.clone()]);
            if let Some((address, port)) = published {
                let key = format!("{port}/tcp");
                let binding = PortBinding { host_ip: Some(address.to_string()), host_port: Some(port.to_string()) };
                host.port_bindings = Some(HashMap::from([(key.clone(), Some(vec![binding]))]));
                body.exposed_ports = Some(vec![key]);
            }
            if let Some((address, domain)) = resolver {
                host.dns = Some(vec![address.to_string()]);
                host.dns_search = Some(vec![domain.clone()]);
            }
        }
    }
    body
}

#[async_trait]
impl Outside for Docker {
    async fn open_street(&self, name: &str, labels: &Labels, ula: &str) -> Result<Street> {
        let client = self.client().await?;
        // Naming no IPv4 range lets Docker pick one that nothing on this machine uses.
        let six = IpamConfig { subnet: Some(ula.to_owned()), ..Default::default() };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            enable_ipv6: Some(true),
            ipam: Some(Ipam { config: Some(vec![six]), ..Default::default() }),
            labels: Some(labels.clone().into_iter().collect()),
            ..Default::default()
        };
        let id = bounded("Creating a network", CALL, client.create_network(request)).await?.id;
        self.street(&id).await
    }

    async fn street(&self, id: &str) -> Result<Street> {
        let client = self.client().await?;
        let seen = bounded("Looking at a network", CALL, client.inspect_network(id, None)).await?;
        Ok(Street { residents: residents(seen.containers), ..found(seen.id, seen.labels, seen.ipam) })
    }

    async fn streets(&self, labels: &[(&str, &str)]) -> Result<Vec<Street>> {
        let client = self.client().await?;
        let options = ListNetworksOptionsBuilder::new().filters(&label_filter(labels)).build();
        let listed = bounded("Listing networks", CALL, client.list_networks(Some(options))).await?;
        Ok(listed.into_iter().map(|n| found(n.id, n.labels, n.ipam)).collect())
    }

    async fn close_street(&self, id: &str) -> Result<()> {
        let client = self.client().await?;
        match bounded("Removing a network", CALL, client.remove_network(id)).await {
            Err(e) if e.code == Code::NotFound => Ok(()),
            other => other,
        }
    }

    async fn create_outside(&self, spec: &ContainerSpec, reach: &Reach) -> Result<String> {
        let client = self.client().await?;
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let body = reaching(create::body(spec), reach);
        let id = bounded("Creating a container", CALL, client.create_container(Some(options), body)).await?.id;
        let Reach::Streets { streets, .. } = reach else { return Ok(id) };
        for street in streets.iter().skip(1) {
            let request = NetworkConnectRequest { container: id.clone(), endpoint_config: None };
            bounded("Joining a network", CALL, client.connect_network(street, request)).await?;
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    /// What is not about reaching stays as it is for every container of ours.
    #[test]
    fn a_container_outside_is_as_hardened_as_any() {
        let spec = ContainerSpec { caps: vec!["NET_RAW".into()], ..Default::default() };
        let streets = Reach::Streets {
            streets: vec!["one".into(), "two".into()],
            published: Some(("172.30.0.1".parse().unwrap(), 4000)),
            resolver: None,
            volumes_of: None,
        };
        for reach in [Reach::Host, streets] {
            let body = reaching(create::body(&spec), &reach);
            let host = body.host_config.unwrap();
            assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]), "{reach:?}");
            assert_eq!(host.cap_add, Some(vec!["NET_RAW".to_owned()]));
            assert_eq!((host.readonly_rootfs, host.privileged), (Some(true), Some(false)));
            assert_eq!((host.pid_mode, host.binds, host.mounts, host.devices), (None, None, None, None));
            assert!(host.security_opt.unwrap().contains(&"no-new-privileges:true".to_owned()));
            match reach {
                Reach::Host => assert_eq!(host.network_mode.as_deref(), Some("host")),
                Reach::Streets { .. } => {
                    assert_eq!(host.network_mode.as_deref(), Some("one"));
                    let ports = host.port_bindings.unwrap();
                    let binding = &ports["4000/tcp"].as_ref().unwrap()[0];
                    assert_eq!(binding.host_ip.as_deref(), Some("172.30.0.1"), "never on every address of the host");
                }
            }
        }
    }
}
