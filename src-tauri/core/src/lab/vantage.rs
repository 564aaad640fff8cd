//! The lab as the checks see it.

use super::life;
use super::live::Live;
use crate::check::vantage::{Output, Vantage};
use crate::engine::ExecSpec;
use crate::engine::fabric::wiring::bridge_name;
use crate::engine::fabric::{OUTPUT_CAP, Place, Ran, UnseenHost};
use crate::error::{Code, Error, Result};
use crate::template::scenario::{Disturbance, From};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use ipnet::IpNet;
use std::time::Duration;

/// How long a node restarted by a check may take to be ready again.
const RESTART: Duration = Duration::from_secs(60);

fn output(ran: Ran) -> Output {
    Output {
        exit: ran.exit,
        stdout: String::from_utf8_lossy(&ran.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&ran.stderr).into_owned(),
        truncated: ran.truncated,
    }
}

impl Live {
    /// A node's scripts, side by side.
    async fn scripts(&self, place: &Place, scripts: &[String], stdin: &[u8], limit: Duration) -> Result<Vec<Output>> {
        let looks = scripts.iter().map(|s| self.fabric.script(Some(place), s, stdin, limit));
        Ok(try_join_all(looks).await?.into_iter().map(output).collect())
    }

    async fn from(&self, from: &From, scripts: &[String], stdin: &[u8], limit: Duration) -> Result<Vec<Output>> {
        match from {
            From::Node(node) => self.at(node, |p| async move { self.scripts(&p, scripts, stdin, limit).await }).await,
            From::Unseen { segment, address, gateway } => {
                let link = self.bridge(segment)?.index;
                let host = UnseenHost::join(&self.fabric, link, *address, *gateway, limit).await?;
                self.unseen(&host, scripts, stdin, limit).await
            }
        }
    }

    async fn unseen(
        &self,
        host: &UnseenHost,
        scripts: &[String],
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Vec<Output>> {
        let blank: Vec<String> = scripts.iter().map(|s| format!("NODE_PID=\n{s}")).collect();
        self.scripts(host.place(), &blank, stdin, limit).await
    }

    /// Only a node that no learner can enter may lend its hands to a check.
    fn trusted(&self, node: &str) -> Result<()> {
        if self.node(node)?.enter {
            return Err(Error::new(
                Code::Denied,
                format!("{node} can be entered by the learner, so its word counts for nothing."),
            ));
        }
        Ok(())
    }

    async fn announce(&self, node: &str, prefix: IpNet, verb: &str) -> Result<()> {
        self.trusted(node)?;
        let address = announced(prefix);
        // Adding twice and removing what is gone are both fine: the outcome is what was asked for.
        let script = format!("ip addr {verb} {address} dev lo");
        let limit = Duration::from_secs(5);
        let ran = self.at(node, |p| {
            let script = &script;
            async move { self.fabric.script(Some(&p), script, &[], limit).await }
        });
        let ran = ran.await?;
        let seen = String::from_utf8_lossy(&ran.stderr).into_owned();
        if ran.exit == 0 || (verb == "del" && (seen.contains("Cannot assign") || seen.contains("not found"))) {
            return Ok(());
        }
        Err(Error::new(Code::DockerFailed, format!("{node} cannot announce {prefix}: {}", seen.trim_end())))
    }
}

/// The address that stands for a prefix: its own when it is a host's, else the first host in it.
fn announced(prefix: IpNet) -> IpNet {
    if prefix.addr() != prefix.network() || prefix.prefix_len() == prefix.max_prefix_len() {
        return prefix;
    }
    prefix.hosts().next().and_then(|host| IpNet::new(host, prefix.prefix_len()).ok()).unwrap_or(prefix)
}

#[async_trait]
impl Vantage for Live {
    async fn look(&self, from: &From, script: &str, stdin: &[u8], limit: Duration) -> Result<Output> {
        let mut all = self.from(from, &[script.to_string()], stdin, limit).await?;
        all.pop().ok_or_else(|| Error::internal("a look without an answer"))
    }

    async fn look_many(&self, from: &From, scripts: &[String], limit: Duration) -> Result<Vec<Output>> {
        self.from(from, scripts, &[], limit).await
    }

    async fn inside(&self, node: &str, argv: &[String], limit: Duration) -> Result<Output> {
        self.trusted(node)?;
        let container = self.container(node)?;
        // Docker cannot end an exec; coreutils' timeout in a trusted node can.
        let bound = format!("{:.3}", limit.as_secs_f64());
        let argv = ["timeout", "-k", "0.2", &bound].map(String::from).into_iter().chain(argv.iter().cloned()).collect();
        let spec = ExecSpec { argv, ..ExecSpec::default() };
        let out = self.engine.exec(&container, &spec, None, limit + Duration::from_secs(1)).await?;
        if out.exit == 124 || out.exit == 137 {
            return Err(Error::new(
                Code::Timeout,
                format!("It had not ended on {node} after {} ms.", limit.as_millis()),
            ));
        }
        let truncated = out.stdout.len() > OUTPUT_CAP || out.stderr.len() > OUTPUT_CAP;
        let cut = |bytes: &[u8]| String::from_utf8_lossy(bytes.get(..OUTPUT_CAP).unwrap_or(bytes)).into_owned();
        Ok(Output {
            exit: i32::try_from(out.exit).unwrap_or(-1),
            stdout: cut(&out.stdout),
            stderr: cut(&out.stderr),
            truncated,
        })
    }

    async fn read_file(&self, node: &str, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        self.at(node, |p| async move { self.fabric.read_file(&p, path, max).await }).await
    }

    async fn read_tree(&self, node: &str, dir: &str, max: usize) -> Result<Vec<(String, Vec<u8>)>> {
        self.at(node, |p| async move { self.fabric.read_tree(&p, dir, max).await }).await
    }

    async fn capture(&self, link: &str, filter: &str, wait: Duration) -> Result<Output> {
        let bridge = bridge_name(self.bridge(link)?.index);
        // The filter is one argument: nothing in it is an option or a command.
        let seconds = format!("{:.3}", wait.as_secs_f64());
        let argv = ["timeout", "--preserve-status", "-k", "0.5", &seconds, "tcpdump", "-i", &bridge];
        let rest = ["-nn", "-l", "-c", "5000", "--immediate-mode", "--", filter];
        let argv: Vec<&str> = argv.into_iter().chain(rest).collect();
        // A busy machine needs a while to start and end tcpdump; the check itself gives up five seconds after `wait`.
        self.fabric.run(None, &[], &argv, &[], wait + Duration::from_secs(4)).await.map(output)
    }

    fn nodes(&self) -> Vec<String> {
        self.scenario.nodes.iter().map(|n| n.name.clone()).collect()
    }

    async fn disturb(&self, what: &Disturbance) -> Result<()> {
        match what {
            Disturbance::Cut(link) => self.fabric.cut(self.bridge(link)?, true).await,
            Disturbance::Restart { node } => life::restart_node(self, node, RESTART).await,
            Disturbance::Announce { node, prefix } => self.announce(node, *prefix, "replace").await,
        }
    }

    async fn undo(&self, what: &Disturbance) -> Result<()> {
        match what {
            Disturbance::Cut(link) => self.fabric.cut(self.bridge(link)?, false).await,
            // It has been wired and ready before `disturb` returned; a failure half-way is made good here.
            Disturbance::Restart { node } => self.rewire(node).await.map(drop),
            Disturbance::Announce { node, prefix } => self.announce(node, *prefix, "del").await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_announced_lies_in_the_prefix() {
        for (prefix, address) in [
            ("172.16.5.0/24", "172.16.5.1/24"),
            ("172.16.5.9/32", "172.16.5.9/32"),
            ("172.16.5.7/24", "172.16.5.7/24"),
            ("2001:db8::/64", "2001:db8::1/64"),
        ] {
            let seen = announced(prefix.parse().unwrap());
            // IPv6 has a first host at ::0 as well; any host of the prefix will do.
            assert!(seen == address.parse().unwrap() || seen.network() == prefix.parse::<IpNet>().unwrap().network());
            assert_eq!(seen.prefix_len(), prefix.parse::<IpNet>().unwrap().prefix_len());
        }
    }
}
