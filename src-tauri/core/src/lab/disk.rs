//! How much of the disk a run's nodes have taken, seen from the fabric, and whether that is more than their share. One file
//! is bounded by the kernel (`ContainerSpec::file_bytes`); many files are what is watched for here.

use super::live::Live;
use super::plan::NODE_DISK_MB;
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Each node's volumes are walked for two seconds at most; the whole look ends after this.
const LOOK: Duration = Duration::from_secs(20);
/// From this part of a share on, the learner is told in good time.
const NEAR_PERCENT: u64 = 80;

/// Reads a pid, then its writable paths, then an empty line, for each node. `du` does not follow links, and the paths are
/// mount points, which nobody inside can replace.
const SCRIPT: &str = r#"
stat -f -c 'free %a %S' / || exit 1
set --
while IFS= read -r line; do
  case "$line" in
    /*) set -- "$@" "/proc/$pid/root$line" ;;
    '') if [ $# -gt 0 ]; then
          timeout 2 du -sxkc -- "$@" >"$WORK/du" 2>/dev/null
          echo "node $pid $? $(tail -n 1 "$WORK/du" | cut -f 1)"
        fi
        set -- ;;
    *) pid=$line ;;
  esac
done
"#;

/// MiB, rounded up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Free where Docker keeps what nodes write.
    pub free_mb: u64,
    /// None: more files than could be counted in time.
    pub nodes: BTreeMap<String, Option<u64>>,
}

impl Measured {
    pub fn used_mb(&self) -> u64 {
        self.nodes.values().flatten().sum()
    }
}

/// Who has taken more than its share, or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Full {
    /// The run must not grow any further; `text` says who and how much.
    Over { text: String },
    /// Only told.
    Near { node: String, text: String },
}

/// Looks at all nodes that run. Nothing in a node is executed.
pub async fn measure(live: &Live) -> Result<Measured> {
    let places = live.known_places();
    let mut asked = String::new();
    for place in &places {
        let writable = &live.node(&place.node)?.writable;
        // A path that is more than one line could be read as another question.
        let paths = writable.iter().filter(|p| p.starts_with('/') && !p.contains('\n'));
        let _ = writeln!(asked, "{}", place.pid);
        for path in paths {
            let _ = writeln!(asked, "{path}");
        }
        asked.push('\n');
    }
    let ran = live.fabric.script(None, SCRIPT, asked.as_bytes(), LOOK).await?;
    let by_pid = places.iter().map(|p| (p.pid, p.node.clone())).collect();
    parse(&String::from_utf8_lossy(&ran.stdout), &by_pid)
}

fn parse(text: &str, by_pid: &BTreeMap<u32, String>) -> Result<Measured> {
    let mut free = None;
    let mut nodes = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["free", blocks, size] => {
                free = blocks.parse::<u64>().ok().zip(size.parse::<u64>().ok()).map(|(b, s)| b.saturating_mul(s) >> 20);
            }
            // 124: `timeout` ended it.
            ["node", pid, status, rest @ ..] => {
                let Some(node) = pid.parse().ok().and_then(|p: u32| by_pid.get(&p)) else { continue };
                let kib = rest.first().and_then(|k| k.parse::<u64>().ok());
                nodes.insert(node.clone(), kib.filter(|_| *status != "124").map(|k| k.div_ceil(1024)));
            }
            _ => {}
        }
    }
    let free_mb =
        free.ok_or_else(|| Error::new(Code::DockerFailed, "The free space of Docker's disk cannot be told."))?;
    Ok(Measured { free_mb, nodes })
}

/// What to do about it. `lent_mb`: what the run may use until it is below its share again (0: nothing was lent).
pub fn judge(measured: &Measured, share_mb: u64, lent_mb: u64) -> Vec<Full> {
    let used = measured.used_mb();
    let mut found = Vec::new();
    for (node, mb) in &measured.nodes {
        match mb {
            None => found.push(Full::Over { text: format!("{node} has written more files than can be counted") }),
            Some(mb) if *mb > NODE_DISK_MB && lent_mb == 0 => found.push(Full::Over {
                text: format!("{node} has written {mb} MiB, more than the {NODE_DISK_MB} MiB a node may have"),
            }),
            Some(mb) if *mb * 100 >= NODE_DISK_MB * NEAR_PERCENT => found.push(Full::Near {
                node: node.clone(),
                text: format!("{node} has written {mb} of the {NODE_DISK_MB} MiB it may have"),
            }),
            Some(_) => {}
        }
    }
    let limit = share_mb.max(lent_mb);
    if used > limit && !found.iter().any(|f| matches!(f, Full::Over { .. })) {
        found.push(Full::Over {
            text: format!("its nodes have written {used} MiB together, more than the {limit} MiB a run may have"),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn measured(nodes: &[(&str, Option<u64>)]) -> Measured {
        Measured { free_mb: 9000, nodes: nodes.iter().map(|(n, mb)| ((*n).to_owned(), *mb)).collect() }
    }

    #[test]
    fn what_the_fabric_prints_is_read() {
        let by_pid = [(7, "a".to_owned()), (8, "b".to_owned()), (9, "c".to_owned())].into();
        let text = "free 2048 1048576\nnode 7 0 1025\nnode 8 124 \nnode 9 1 0\nnode 99 0 5\nnoise\n";
        let m = parse(text, &by_pid).unwrap();
        assert_eq!(m.free_mb, 2048);
        assert_eq!(m.nodes, measured(&[("a", Some(2)), ("b", None), ("c", Some(0))]).nodes);
        assert_eq!(parse("node 7 0 5\n", &by_pid).unwrap_err().code, Code::DockerFailed);
        // A program that was stopped half-way counted only half.
        assert_eq!(parse("free 1 1\nnode 7 124 12\n", &by_pid).unwrap().nodes["a"], None);
    }

    #[test]
    fn over_near_and_fine() {
        assert_eq!(judge(&measured(&[("a", Some(204)), ("b", Some(1))]), 512, 0), []);
        let near = judge(&measured(&[("a", Some(205))]), 512, 0);
        assert!(matches!(near.as_slice(), [Full::Near { node, .. }] if node == "a"), "{near:?}");
        for (nodes, word) in [
            (vec![("a", Some(257))], "a has written 257 MiB"),
            (vec![("a", None)], "can be counted"),
            (vec![("a", Some(150)), ("b", Some(150)), ("c", Some(150)), ("d", Some(150))], "600 MiB together"),
        ] {
            let over = judge(&measured(&nodes), 512, 0);
            assert!(over.iter().any(|f| matches!(f, Full::Over { text } if text.contains(word))), "{over:?}");
        }
    }

    #[test]
    fn what_was_lent_is_a_limit_too() {
        let m = measured(&[("a", Some(600))]);
        assert!(!judge(&m, 512, 632).iter().any(|f| matches!(f, Full::Over { .. })));
        let m = measured(&[("a", Some(633))]);
        assert!(judge(&m, 512, 632).iter().any(|f| matches!(f, Full::Over { .. })));
    }
}
