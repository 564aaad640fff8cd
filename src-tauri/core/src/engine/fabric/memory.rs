//! Whom the kernel took memory from by force. Docker tells of it only to those who listen at that moment; the kernel's own
//! count stays as long as the node runs.

use super::{Fabric, Place};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

const LOOK: Duration = Duration::from_secs(5);
/// The cgroup files as the node itself is shown them, version 2 or 1. A node that has ended meanwhile is left out.
const SCRIPT: &str = r#"while read -r node pid container; do
  grep -qs "$container" "/proc/$pid/cgroup" || continue
  c=/proc/$pid/root/sys/fs/cgroup
  for f in "$c/memory.events" "$c/memory/memory.oom_control"; do
    n=$(sed -n 's/^oom_kill \([0-9]*\)$/\1/p' "$f" 2>/dev/null)
    [ -z "$n" ] || { echo "$node $n"; break; }
  done
done"#;

impl Fabric {
    /// Node → programs that the kernel has ended since the node's start because it was out of memory; those with none are left out.
    pub async fn starved(&self, places: &[Place]) -> Result<BTreeMap<String, u64>> {
        let lines = places.iter().fold(String::new(), |mut lines, p| {
            let _ = writeln!(lines, "{} {} {}", p.node, p.pid, p.container);
            lines
        });
        let ran = self.script(None, SCRIPT, lines.as_bytes(), LOOK).await?;
        let counted = String::from_utf8_lossy(&ran.stdout).lines().map(read).collect::<Option<BTreeMap<_, _>>>();
        let counted =
            counted.ok_or_else(|| Error::internal("the kernel's count of memory that ran out cannot be read"))?;
        Ok(counted.into_iter().filter(|(_, kills)| *kills > 0).collect())
    }
}

fn read(line: &str) -> Option<(String, u64)> {
    let (node, kills) = line.split_once(' ')?;
    Some((node.to_owned(), kills.parse().ok()?))
}
