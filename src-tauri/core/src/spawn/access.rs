//! In whose name, on which tracks and until when labs are opened here, as the access gate is asked it.

use crate::error::{Code, Error, Result};
use crate::store::Conn;
use crate::store::blocks::{self, TENANT};
use serde_json::{Value, json};

/// Where no end is set, the owner of the machine holds a token that is made for each question and lasts so long.
const MOMENT_MS: i64 = 120_000;

/// What the holder wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    Run,
    Submit,
    Read,
}

impl Capability {
    fn word(self) -> &'static str {
        match self {
            Self::Run => "labs.run",
            Self::Submit => "results.submit",
            Self::Read => "results.read",
        }
    }
}

/// What whoever runs this machine gives to those who work on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub tenant: String,
    /// None: all of them.
    pub tracks: Option<Vec<String>>,
    /// Unix milliseconds. None: no end is set.
    pub until: Option<i64>,
}

impl Access {
    /// From `FORGE_TRACKS` (a list with commas) and `FORGE_ACCESS_UNTIL` (a date and time as in RFC 3339).
    ///
    /// # Errors
    /// `InvalidInput` for words that are none: half a restriction must not turn into none.
    pub fn read(tenant: &str, tracks: Option<&str>, until: Option<&str>) -> Result<Self> {
        let word =
            |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let tracks = tracks.map(|list| list.split(',').map(|t| t.trim().to_owned()).collect::<Vec<_>>());
        if tracks.iter().flatten().any(|t| !word(t)) {
            return Err(Error::new(Code::InvalidInput, "FORGE_TRACKS is not a list of tracks.")
                .hint("For example FORGE_TRACKS=netplus,ccna."));
        }
        let until = until.map(|text| {
            text.parse::<jiff::Timestamp>().map(|t| t.as_millisecond()).map_err(|_| {
                Error::new(Code::InvalidInput, format!("FORGE_ACCESS_UNTIL is “{text}”, which is not a date and time."))
                    .hint("For example FORGE_ACCESS_UNTIL=2027-01-31T18:00:00Z.")
            })
        });
        Ok(Self { tenant: tenant.to_owned(), tracks, until: until.transpose()? })
    }

    /// What the access gate is asked about opening a lab, run or result of this track.
    pub(super) fn question(&self, conn: &Conn, wanted: Capability, track: &str, now: i64) -> Result<Value> {
        let blocked: Vec<String> =
            blocks::list(conn)?.into_iter().filter_map(|b| b.subject.strip_prefix(TENANT).map(str::to_owned)).collect();
        Ok(json!({
            "token": {
                "capability": wanted.word(),
                "expires": self.until.unwrap_or(now.saturating_add(MOMENT_MS)),
                "tenant": self.tenant,
                "tracks": self.tracks.clone().unwrap_or_else(|| vec![track.to_owned()]),
            },
            "wanted": {"capability": wanted.word(), "track": track},
            "now": now,
            "blocked_tenants": blocked,
        }))
    }
}

/// A subject of that form could not be told from an organisation when it is blocked.
pub fn names_a_tenant(subject: &str) -> bool {
    subject.starts_with(TENANT)
}
