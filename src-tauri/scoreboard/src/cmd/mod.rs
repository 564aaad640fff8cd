//! The commands of the program.

mod backup;
mod invite;
mod keys;
mod people;
mod serve;
mod verify;

pub use serve::more_files;
pub use verify::{Verified, verify_all};

use crate::board::Board;
use crate::store::{Target, migrate, session, standing};
use clap::{Args, Parser, Subcommand};
use forge_core::board::Role;
use forge_core::error::{Code, Error, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "forge-scoreboard",
    version,
    about = "Accepts signed verdicts and shows what was really established",
    max_term_width = 100
)]
pub struct Cli {
    /// Answer in JSON, errors included
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// Where everything is.
#[derive(Clone, Args)]
pub struct Place {
    /// The data folder: keys, evidence and, without --database, the database
    #[arg(long, env = "FORGE_SCOREBOARD_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// A PostgreSQL database instead: postgres://user:password@host/name
    #[arg(long, env = "FORGE_SCOREBOARD_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    /// The same, read from a file: where the address holds a password
    #[arg(long, env = "FORGE_SCOREBOARD_DATABASE_FILE", value_name = "FILE")]
    pub database_file: Option<PathBuf>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Place {
    pub fn target(&self) -> Result<Target> {
        let given = self.database.as_deref().filter(|d| !d.is_empty());
        match &self.database_file {
            None => Target::of(&self.data, given),
            Some(_) if given.is_some() => Err(Error::new(Code::InvalidInput, "The database is given twice.")
                .hint("Give --database or --database-file (or the variable of one of them), not both.")),
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|e| Error::from(e).context(format!("Reading {}", file.display())))?;
                Target::of(&self.data, Some(text.trim()))
            }
        }
    }

    /// Folder and database must be there already: a typing error, or a `--database` that is left out, would quietly make others.
    pub fn must_exist(&self) -> Result<()> {
        let shown = self.data.display();
        // One of them may be lost: then there is more to be said than that.
        if !["keys", "evidence", "scoreboard.db"].iter().any(|part| self.data.join(part).exists()) {
            return Err(Error::new(Code::NotFound, format!("{shown} is no scoreboard's data folder."))
                .hint("Give the folder that `forge-scoreboard serve --data` uses; start that once first."));
        }
        match self.target()? {
            Target::Sqlite(file) if !file.exists() => {
                Err(Error::new(Code::NotFound, format!("There is no database in {shown}."))
                    .hint("If it is served with --database or --database-file, give the same one here."))
            }
            _ => Ok(()),
        }
    }
}

/// What a server does beside serving.
#[derive(Clone, Debug, Args)]
pub struct Beside {
    /// Tell what is accepted to NATS JetStream: nats://host:4222
    #[arg(long, value_name = "URL")]
    pub events: Option<String>,
    /// Who this is to NATS: a file with user:password, the seed of an NKEY, or a .creds file
    #[arg(long, value_name = "FILE", requires = "events")]
    pub events_credentials: Option<PathBuf>,
    /// Write the log to this folder as well, a file a day, the last fourteen
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until Ctrl-C
    Serve {
        #[command(flatten)]
        place: Place,
        /// Address and port; port 0 picks a free one
        #[arg(long, default_value = "127.0.0.1:8440")]
        listen: SocketAddr,
        /// Labs from this folder instead of the built-in ones
        #[arg(long, value_name = "DIR")]
        labs: Option<PathBuf>,
        /// The address under which browsers reach it, if there is a proxy before it
        #[arg(long, value_name = "URL")]
        public_url: Option<String>,
        #[command(flatten)]
        beside: Beside,
    },
    /// Make one-time codes, also while the server runs
    Invite {
        #[command(flatten)]
        place: Place,
        #[arg(long, default_value = "Class")]
        class: String,
        #[arg(long, default_value = "learner", value_parser = role)]
        role: Role,
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=500))]
        count: u32,
        /// How long a code can be used
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
    },
    /// The board's keys
    Keys {
        #[command(subcommand)]
        what: KeysCommand,
    },
    /// Who is enrolled, and whose keys count no longer
    People {
        #[command(subcommand)]
        what: PeopleCommand,
    },
    /// What is stored
    Stats {
        #[command(flatten)]
        place: Place,
    },
    /// Copy everything, keys included, to a new folder
    Backup {
        #[command(flatten)]
        place: Place,
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Fill an empty place from a backup and verify every verdict
    Restore {
        #[command(flatten)]
        place: Place,
        #[arg(long, value_name = "FOLDER")]
        from: PathBuf,
        /// The labs that verdicts are held against; else those that were served
        #[arg(long, value_name = "DIR")]
        labs: Option<PathBuf>,
    },
    /// Verify every stored verdict again
    VerifyAll {
        #[command(flatten)]
        place: Place,
        /// The labs that verdicts are held against; else those that were served
        #[arg(long, value_name = "DIR")]
        labs: Option<PathBuf>,
    },
    /// Measure this machine
    Bench {
        #[command(subcommand)]
        what: crate::bench::What,
    },
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// The key in use and those before it
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Replace the key; the old one signs the new one, and laptops follow by themselves
    Rotate {
        #[command(flatten)]
        place: Place,
    },
    /// The key is lost for good: make another one. Every laptop has to be enrolled again
    New {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub enum PeopleCommand {
    /// Everybody with their keys
    List {
        #[command(flatten)]
        place: Place,
        /// Of this class only
        #[arg(long, value_name = "NAME")]
        class: Option<String>,
    },
    /// A laptop is lost, or a key is in wrong hands: nothing more is accepted from it, what was accepted before stays
    Revoke {
        #[command(flatten)]
        place: Place,
        /// Keys, as `people list` shows them
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        /// Why, in one line; it is kept
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

fn role(word: &str) -> Result<Role, String> {
    match word {
        "learner" => Ok(Role::Learner),
        "instructor" => Ok(Role::Instructor),
        "worker" => Ok(Role::Worker),
        _ => Err("learner, instructor or worker".into()),
    }
}

pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Serve { place, listen, labs, public_url, beside } => {
            serve::run(&place, listen, labs, public_url, &beside, cli.json)?;
        }
        Command::Invite { place, class, role, count, days } => invite::run(&place, class, role, count, days, cli.json)?,
        Command::Keys { what } => keys::run(&what, cli.json)?,
        Command::People { what } => people::run(&what, cli.json)?,
        Command::Stats { place } => stats(&place, cli.json)?,
        Command::Backup { place, to } => backup::backup(&place, &to, cli.json)?,
        Command::Restore { place, from, labs } => return backup::restore(&place, &from, labs, cli.json),
        Command::VerifyAll { place, labs } => {
            place.must_exist()?;
            return verify::report(&verify_all(&place.data, place.target()?, labs)?, cli.json);
        }
        Command::Bench { what } => crate::bench::run(&what, cli.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `1 class`, `2 classes`.
pub fn many(count: impl Into<i128>, one: &str, more: &str) -> String {
    let count: i128 = count.into();
    format!("{count} {}", if count == 1 { one } else { more })
}

/// One line of JSON, or the words.
pub fn say(json: bool, value: &serde_json::Value, words: impl FnOnce() -> String) {
    if json {
        println!("{value}");
    } else {
        println!("{}", words());
    }
}

fn stats(place: &Place, json: bool) -> Result<()> {
    place.must_exist()?;
    let mut conn = place.target()?.connect()?;
    migrate(conn.as_mut())?;
    let tallies = standing::tallies(conn.as_mut())?;
    let (learners, classes) = crate::store::people::counts(conn.as_mut())?;
    let sessions = session::count(conn.as_mut())?;
    let verdicts: i64 = tallies.iter().map(|(_, _, n)| n).sum();
    let value =
        serde_json::json!({"verdicts": verdicts, "learners": learners, "classes": classes, "sessions": sessions});
    say(json, &value, || {
        let people = many(learners, "person", "people");
        let (verdicts, sessions) = (many(verdicts, "verdict", "verdicts"), many(sessions, "session", "sessions"));
        format!("{verdicts}, {people} in {}, {sessions}", many(classes, "class", "classes"))
    });
    Ok(())
}

/// For commands that need the whole of it.
pub fn open(data: &Path, target: Target) -> Result<Board> {
    Ok(Board::open(data, target, None)?.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::store::Target;
    use clap::CommandFactory;

    #[test]
    fn a_database_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("url");
        std::fs::write(&file, "postgres://board:secret@host/board\n").unwrap();
        let place = |database: Option<&str>, file| super::Place {
            data: dir.path().into(),
            database: database.map(Into::into),
            database_file: file,
        };
        let url = Target::Postgres("postgres://board:secret@host/board".into());
        assert_eq!(place(None, Some(file.clone())).target().unwrap(), url);
        assert_eq!(place(Some(""), Some(file.clone())).target().unwrap(), url);
        assert!(place(Some("postgres://x/y"), Some(file)).target().is_err());
        assert!(place(None, Some(dir.path().join("none"))).target().is_err());
        // An empty file must not quietly mean SQLite.
        std::fs::write(dir.path().join("empty"), "\n").unwrap();
        assert!(place(None, Some(dir.path().join("empty"))).target().is_err());
    }

    #[test]
    fn the_grammar_holds_together() {
        super::Cli::command().debug_assert();
    }
}
