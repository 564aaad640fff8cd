//! Reading out of a node from outside: paths resolve within the node's root (openat2 with RESOLVE_IN_ROOT, no magic links), only
//! regular files are read, sizes are bounded, and no program of the node is involved.

use super::channel::{Answer, Request, unpack};
use super::{Fabric, Place, text};
use crate::error::{Code, Error, Result};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

impl Fabric {
    /// The bytes of a regular file; None when there is no such path. A symbolic link is followed, within the node's root.
    /// `Code::TooLarge` above `max` bytes, `Code::InvalidInput` for anything but a regular file.
    pub async fn read_file(&self, place: &Place, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let answer = self.call(&request("read", place, path, max)?, true).await?;
        match answer.exit {
            0 => Ok(Some(answer.stdout)),
            2 => Ok(None),
            _ => Err(refused(&answer, place, path, max)),
        }
    }

    /// All regular files below a directory: (absolute path, bytes), sorted; symbolic links below it are left out. Empty when
    /// there is no such directory. `Code::TooLarge` above `max` bytes in total, 20 000 entries or 32 levels.
    pub async fn read_tree(&self, place: &Place, dir: &str, max: usize) -> Result<Vec<(String, Vec<u8>)>> {
        let answer = self.call(&request("tree", place, dir, max)?, true).await?;
        if answer.exit != 0 || answer.truncated {
            return Err(refused(&answer, place, dir, max));
        }
        let mut fields = unpack(&answer.stdout).into_iter();
        let mut files = Vec::new();
        while let (Some(path), Some(bytes)) = (fields.next(), fields.next()) {
            files.push((String::from_utf8_lossy(&path).into_owned(), bytes));
        }
        files.sort();
        Ok(files)
    }
}

fn request(op: &'static str, place: &Place, path: &str, max: usize) -> Result<Request> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Error::new(Code::InvalidInput, format!("“{path}” is not an absolute path.")));
    }
    Ok(Request {
        op,
        limit: LIMIT,
        // Room for the frames around 20 000 paths; what is read is bounded by `max` itself.
        cap: max.saturating_add(8 << 20),
        target: place.target(),
        args: vec![path.into(), max.to_string().into()],
        ..Request::default()
    })
}

fn refused(answer: &Answer, place: &Place, path: &str, max: usize) -> Error {
    let code = match answer.exit {
        3 => Code::TooLarge,
        4 => Code::InvalidInput,
        _ => Code::Io,
    };
    let error = Error::new(code, format!("{path} on {}: {}.", place.node, text(&answer.stderr)));
    if code == Code::TooLarge { error.details(serde_json::json!({ "limit": max })) } else { error }
}
