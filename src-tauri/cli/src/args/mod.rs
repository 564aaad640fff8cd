//! The command line's grammar: what every command takes; commands that have commands of their own keep them in files of their own.

mod bench;
mod governance;
mod keys;
mod labs;
mod session;

pub use bench::BenchCommand;
pub use governance::{AuditCommand, PolicyCommand};
pub use keys::{KeyArg, KeysCommand};
pub use labs::{CatalogueCommand, EgressCommand, ImagesCommand, LabsCommand};
pub use session::SessionCommand;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "forge",
    version,
    about = "FrostGate Forge: real network and security labs on this machine, graded and signed",
    after_help = crate::exit::TABLE,
    max_term_width = 100
)]
pub struct Cli {
    /// Answer in JSON, errors included: {"error":{"code","message","hints","details"}}
    #[arg(long, global = true)]
    pub json: bool,
    /// Act as an instructor (reference solutions)
    #[arg(long, global = true, env = "FORGE_INSTRUCTOR", value_parser = FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    pub instructor: bool,
    /// Labs from this folder instead of the built-in ones, for authors
    #[arg(long, global = true, env = "FORGE_LABS", value_name = "DIR")]
    pub labs: Option<PathBuf>,
    /// The passphrase of your keys: the first line of this file, of a descriptor (/dev/fd/3) or of stdin (-); FORGE_PASSPHRASE_FILE
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Log to stderr as well (what is logged: RUST_LOG)
    #[arg(short, long, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check Docker, kernel features, memory and images; says how to mend each
    Doctor,
    /// List the labs, show one, or pin one of your own
    #[command(args_conflicts_with_subcommands = true)]
    Labs {
        lab: Option<String>,
        #[command(subcommand)]
        what: Option<LabsCommand>,
    },
    /// Show plan, limits and what of them is used
    Quota,
    /// Show under which plan labs start here, and who pays
    Plan,
    /// Keep a subject from starting labs, and stop those it has (instructors)
    Block {
        /// A person, or an organisation as tenant:NAME
        subject: String,
        /// Read by the subject when a start is refused
        #[arg(long)]
        reason: String,
    },
    /// Let a subject start labs again (instructors)
    Unblock { subject: String },
    /// Write down, check and sign which files the labs of a templates folder are (maintainers)
    Catalogue {
        #[command(subcommand)]
        what: CatalogueCommand,
    },
    /// List the images labs are made of, or prepare them
    Images {
        #[command(subcommand)]
        what: Option<ImagesCommand>,
    },
    /// Where labs may reach: list the profiles, or approve one of your own
    Egress {
        #[command(subcommand)]
        what: EgressCommand,
    },
    /// Start a lab and wait until it is ready; Ctrl-C gives it up and leaves nothing
    Start {
        lab: String,
        /// Same id, same run, same answer
        #[arg(long)]
        request_id: Option<String>,
        /// Same seed, same lab
        #[arg(long)]
        seed: Option<String>,
        /// Bound to this session, under the seed that it issues
        #[arg(long, value_name = "SESSION", conflicts_with_all = ["seed", "request_id"])]
        session: Option<String>,
    },
    /// Class sessions of the scoreboard: make, join, watch, speak to, freeze and export one
    Session {
        #[command(subcommand)]
        what: SessionCommand,
    },
    /// List runs
    Ps {
        /// Stopped ones too
        #[arg(short, long)]
        all: bool,
    },
    /// Open a terminal on a node
    Enter { run: String, node: String },
    /// Run a program in a node; its exit code becomes this command's
    Exec {
        run: String,
        node: String,
        #[arg(last = true, required = true, value_name = "CMD")]
        argv: Vec<String>,
    },
    /// Check the lab and say what is still wrong
    Check {
        run: String,
        /// Only this criterion (repeatable)
        #[arg(long = "criterion", value_name = "ID")]
        criteria: Vec<String>,
        /// Leave out checks that disturb the lab
        #[arg(long)]
        gentle: bool,
        /// Exit with 1 unless every point was reached
        #[arg(long)]
        require_full: bool,
    },
    /// Show a run's guide, with its own addresses, names and passwords in it
    Guide { run: String },
    /// List the hints and what each costs, or reveal one (takes its cost off its criterion)
    Hint { run: String, hint: Option<String> },
    /// Grade, collect evidence, and write a signed verdict
    Submit { run: String },
    /// List submitted results
    Results,
    /// Verify a results folder
    Verify {
        dir: PathBuf,
        /// Recompute every outcome from the evidence as well
        #[arg(long)]
        regrade: bool,
    },
    /// Enrol this laptop at a scoreboard, with the code that your instructor gave you
    Enrol {
        url: String,
        /// Not needed to come back to a scoreboard that this laptop was enrolled at before
        #[arg(default_value = "", hide_default_value = true)]
        code: String,
        /// Shown on the board; without it, a few letters of your key
        #[arg(long, default_value = "")]
        name: String,
        /// PEM of the only certificates that the scoreboard's https is believed under
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Permit http:// to another machine: nothing can be forged on the way, but the token can be read
        #[arg(long)]
        clear_text: bool,
    },
    /// Try a submission again: the same lab under a fresh seed, with what was submitted
    Reexecute {
        /// A results folder, a run, a verdict's id, or its address at your scoreboard
        #[arg(required_unless_present = "jobs")]
        verdict: Option<String>,
        /// Tell the scoreboard, which may raise the verdict's trust
        #[arg(long)]
        report: bool,
        /// Not here: have a worker of the scoreboard do it (instructors)
        #[arg(long, conflicts_with = "report")]
        ask: bool,
        /// What was asked for in your class, and what came of it (instructors)
        #[arg(long, conflicts_with_all = ["verdict", "report", "ask"])]
        jobs: bool,
    },
    /// Work for the scoreboard: execute again what instructors ask for, one after the other, until Ctrl-C
    Worker {
        /// One, then end; also when none waits
        #[arg(long)]
        once: bool,
        /// Seconds of silence after which another worker may take over
        #[arg(long, value_name = "SECONDS", default_value_t = forge_core::board::LEASE,
              value_parser = clap::value_parser!(u32).range(i64::from(forge_core::board::LEASE_LEAST)..=i64::from(forge_core::board::LEASE_MOST)))]
        lease: u32,
    },
    /// Turn the scoreboard off: nothing is sent any more; receipts stay, and `forge enrol URL` comes back
    Unenrol,
    /// Send what waits to the scoreboard
    Sync {
        /// Show what would be sent, and send nothing
        #[arg(long, conflicts_with_all = ["status", "retry_refused"])]
        preview: bool,
        /// Show where each result stands, and send nothing
        #[arg(long, conflicts_with = "retry_refused")]
        status: bool,
        /// Ask again for what was refused
        #[arg(long)]
        retry_refused: bool,
    },
    /// Stop a run, or all
    Stop {
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        run: Option<String>,
        #[arg(long)]
        all: bool,
    },
    /// Freeze a run and its clock
    Pause { run: String },
    /// Go on with a paused run
    Resume { run: String },
    /// Give a run more time
    Extend {
        run: String,
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1440))]
        minutes: u32,
    },
    /// Restart a node; its links come back by themselves
    Restart { run: String, node: String },
    /// Forward a node's TCP port to 127.0.0.1 until Ctrl-C
    Forward { run: String, node: String, port: u16 },
    /// Apply the reference solution (instructors)
    Solve { run: String },
    /// Prove a lab: untouched scores nothing, the solution everything, each wrong answer fails what it should
    Prove {
        lab: String,
        #[arg(long = "seed", value_name = "SEED")]
        seeds: Vec<String>,
    },
    /// Walk one lab from start to a verified verdict, narrated
    Demo {
        lab: String,
        #[arg(long)]
        seed: Option<String>,
        /// Leave the run standing at the end
        #[arg(long)]
        keep: bool,
    },
    /// Look whether anything leads out of a run's lab; fails when something does, or when that cannot be told
    Isolation {
        run: String,
        /// All forty techniques, from a sacrificial node, each with a control (some ten seconds)
        #[arg(long)]
        full: bool,
    },
    /// Show what happened, in order
    Events {
        run: Option<String>,
        /// Only after this sequence number
        #[arg(long, default_value_t = 0)]
        since: i64,
        /// Go on as things happen, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
    /// The gates: what they ask, what they decided and why
    Policy {
        #[command(subcommand)]
        what: PolicyCommand,
    },
    /// The log of every decision, token, check and verdict
    Audit {
        #[command(subcommand)]
        what: AuditCommand,
    },
    /// Show where your private keys are kept, or have them kept better
    Keys {
        #[command(subcommand)]
        what: Option<KeysCommand>,
    },
    /// Serve the same UI for a browser
    Serve(ServeOptions),
    /// Measure this machine
    Bench {
        #[command(subcommand)]
        what: BenchCommand,
    },
    /// Print the JSON Schema of lab templates, for editors
    Schema,
    /// End runs whose time is up, until there is none (started by `forge start`)
    #[command(hide = true)]
    Keep,
}

#[derive(Debug, Args)]
pub struct ServeOptions {
    /// Address and port; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// A name under which browsers may reach this server (repeatable; addresses and localhost always may)
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }
}
