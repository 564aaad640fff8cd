//! The commands of the program.

mod backup;
mod invite;
mod keys;
mod serve;
mod verify;

pub use serve::more_files;
pub use verify::{Verified, verify_all};

use crate::board::Board;
use crate::store::{Target, migrate, people, session, standing};
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
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The data folder: keys, evidence and, without --database, the database
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// A PostgreSQL database instead: postgres://user:password@host/name
    #[arg(long, env = "FORGE_SCOREBOARD_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
}

impl Place {
    pub fn target(&self) -> Result<Target> {
        Target::of(&self.data, self.database.as_deref().filter(|d| !d.is_empty()))
    }

    /// The folder must be there already: a typing error would quietly make another one.
    pub fn must_exist(&self) -> Result<()> {
        if self.data.join("keys").is_dir() {
            return Ok(());
        }
        Err(Error::new(Code::NotFound, format!("{} is no scoreboard's data folder.", self.data.display()))
            .hint("Give the folder that `forge-scoreboard serve --data` uses; start that once first."))
    }
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
    /// Replace the key; the old one signs the new one
    Rotate {
        #[command(flatten)]
        place: Place,
    },
}

fn role(word: &str) -> Result<Role, String> {
    match word {
        "learner" => Ok(Role::Learner),
        "instructor" => Ok(Role::Instructor),
        _ => Err("learner or instructor".into()),
    }
}

pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Serve { place, listen, labs, public_url } => serve::run(&place, listen, labs, public_url, cli.json)?,
        Command::Invite { place, class, role, count, days } => invite::run(&place, class, role, count, days, cli.json)?,
        Command::Keys { what } => keys::run(&what, cli.json)?,
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
    let (learners, classes) = people::counts(conn.as_mut())?;
    let sessions = session::count(conn.as_mut())?;
    let verdicts: i64 = tallies.iter().map(|(_, _, n)| n).sum();
    let value =
        serde_json::json!({"verdicts": verdicts, "learners": learners, "classes": classes, "sessions": sessions});
    say(json, &value, || format!("{verdicts} verdicts, {learners} people in {classes} classes, {sessions} sessions"));
    Ok(())
}

/// For commands that need the whole of it.
pub fn open(data: &Path, target: Target) -> Result<Board> {
    Ok(Board::open(data, target, None)?.0)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_grammar_holds_together() {
        super::Cli::command().debug_assert();
    }
}
