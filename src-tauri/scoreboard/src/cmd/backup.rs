//! `backup` and `restore`: the database as lines that both databases read, the keys, and the evidence.

use super::{Place, say, verify, verify_all};
use crate::evidence::private_folder;
use crate::store::{dump, migrate};
use forge_core::error::{Code, Error, Result};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

const ROWS: &str = "rows.jsonl.zst";
/// Parts of the data folder that are copied as they are.
const FOLDERS: [&str; 2] = ["keys", "evidence"];
const TOKEN: &str = "admin.token";

pub fn backup(place: &Place, to: &Path, json: bool) -> Result<()> {
    place.must_exist()?;
    if to.exists() {
        return Err(Error::new(
            Code::WrongState,
            format!("{} is there already; a backup is never overwritten.", to.display()),
        ));
    }
    private_folder(to)?;
    let mut conn = place.target()?.connect()?;
    migrate(conn.as_mut())?;
    // Rows first: evidence that arrives afterwards is more than the rows speak of, never less.
    let file = File::create_new(to.join(ROWS))?;
    let mut encoder = zstd::stream::Encoder::new(BufWriter::new(file), 3)?;
    encoder.include_checksum(true)?;
    let rows = dump::write(conn.as_mut(), &mut encoder)?;
    let mut writer = encoder.finish()?;
    writer.flush()?;
    writer.get_ref().sync_all()?;
    let mut files = 0;
    for folder in FOLDERS {
        files += copy(&place.data.join(folder), &to.join(folder))?;
    }
    if place.data.join(TOKEN).exists() {
        std::fs::copy(place.data.join(TOKEN), to.join(TOKEN))?;
    }
    File::open(to)?.sync_all()?;
    let value = serde_json::json!({"rows": rows, "files": files, "to": to});
    say(json, &value, || {
        format!(
            "{rows} rows and {files} files are in {}. It holds private keys: keep it as safe as the server.",
            to.display()
        )
    });
    Ok(())
}

pub fn restore(place: &Place, from: &Path, json: bool) -> Result<ExitCode> {
    if place.data.join("keys").exists() {
        return Err(Error::new(Code::WrongState, format!("{} holds a scoreboard already.", place.data.display()))
            .hint("Restore into a new folder, then serve from there."));
    }
    let rows = File::open(from.join(ROWS))
        .map_err(|e| Error::new(Code::NotFound, format!("{} is no backup: {e}", from.display())))?;
    private_folder(&place.data)?;
    let mut conn = place.target()?.connect()?;
    migrate(conn.as_mut())?;
    let decoder = zstd::stream::Decoder::new(BufReader::new(rows))?;
    dump::read(conn.as_mut(), &mut BufReader::new(decoder))?;
    drop(conn);
    for folder in FOLDERS {
        copy(&from.join(folder), &place.data.join(folder))?;
    }
    if from.join(TOKEN).exists() {
        std::fs::copy(from.join(TOKEN), place.data.join(TOKEN))?;
    }
    File::open(&place.data)?.sync_all()?;
    verify::report(&verify_all(&place.data, place.target()?)?, json)
}

/// Regular files of a folder and its folders, each synced; two levels is all there are.
fn copy(from: &Path, to: &Path) -> Result<u64> {
    private_folder(to)?;
    let mut count = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            count += copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
            count += 1;
        }
    }
    File::open(to)?.sync_all()?;
    Ok(count)
}
