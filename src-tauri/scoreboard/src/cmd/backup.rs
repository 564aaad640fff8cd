//! `backup` and `restore`: the database as lines that both databases read, the keys, and the evidence.

use super::{Place, many, say, verify, verify_all};
use crate::board::labs_of;
use crate::evidence::private_folder;
use crate::lineage;
use crate::store::{dump, migrate};
use forge_core::error::{Code, Error, Result};
use forge_core::keys::Keys;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const ROWS: &str = "rows.jsonl.zst";
/// Parts of the data folder that are copied as they are.
const FOLDERS: [&str; 2] = ["keys", "evidence"];
/// The admin's token, and where the labs are.
const FILES: [&str; 2] = ["admin.token", "labs.path"];

pub fn backup(place: &Place, to: &Path, json: bool) -> Result<()> {
    place.must_exist()?;
    let mut conn = place.target()?.connect()?;
    migrate(conn.as_mut())?;
    // Without its key a copy is no backup; whoever makes one every night is to hear of it.
    lineage::check(conn.as_mut(), &place.data)?;
    if to.exists() {
        return Err(Error::new(
            Code::WrongState,
            format!("{} is there already; a backup is never overwritten.", to.display()),
        ));
    }
    private_folder(to)?;
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
    alongside(&place.data, to)?;
    File::open(to)?.sync_all()?;
    let value = serde_json::json!({"rows": rows, "files": files, "to": to});
    say(json, &value, || {
        format!(
            "{} and {} are in {}. It holds private keys: keep it as safe as the server.",
            many(rows, "row", "rows"),
            many(files, "file", "files"),
            to.display()
        )
    });
    Ok(())
}

pub fn restore(place: &Place, from: &Path, labs: Option<PathBuf>, json: bool) -> Result<ExitCode> {
    if place.data.join("keys").exists() {
        return Err(Error::new(Code::WrongState, format!("{} holds a scoreboard already.", place.data.display()))
            .hint("Restore into a new folder, then serve from there."));
    }
    let rows = File::open(from.join(ROWS))
        .map_err(|e| Error::new(Code::NotFound, format!("{} is no backup: {e}", from.display())))?;
    // Before anything is filled: without the labs, or the key, it would end half-way.
    let labs = labs_of(from, labs)?;
    if !Keys::board_is_there(from)? {
        return Err(Error::new(
            Code::NotFound,
            format!("The backup in {} has no key: keys/board.pem is missing.", from.display()),
        )
        .hint("Every laptop would refuse what is restored without it. Take another backup, or put the file there."));
    }
    private_folder(&place.data)?;
    let mut conn = place.target()?.connect()?;
    migrate(conn.as_mut())?;
    let decoder = zstd::stream::Decoder::new(BufReader::new(rows))?;
    dump::read(conn.as_mut(), &mut BufReader::new(decoder))?;
    drop(conn);
    for folder in FOLDERS {
        copy(&from.join(folder), &place.data.join(folder))?;
    }
    alongside(from, &place.data)?;
    File::open(&place.data)?.sync_all()?;
    verify::report(&verify_all(&place.data, place.target()?, labs)?, json)
}

fn alongside(from: &Path, to: &Path) -> Result<()> {
    for name in FILES.into_iter().filter(|name| from.join(name).exists()) {
        std::fs::copy(from.join(name), to.join(name))?;
    }
    Ok(())
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
