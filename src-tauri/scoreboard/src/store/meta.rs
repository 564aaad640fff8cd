//! Single values about the database itself.

use super::Tx;
use crate::params;
use forge_core::error::Result;

pub fn get(tx: &mut (impl Tx + ?Sized), name: &str) -> Result<Option<String>> {
    tx.one("SELECT value FROM meta WHERE name = $1", params![name])?.map(|r| r.text(0)).transpose()
}

pub fn number(tx: &mut (impl Tx + ?Sized), name: &str) -> Result<Option<i64>> {
    Ok(get(tx, name)?.and_then(|v| v.parse().ok()))
}

pub fn set(tx: &mut (impl Tx + ?Sized), name: &str, value: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )?;
    Ok(())
}
