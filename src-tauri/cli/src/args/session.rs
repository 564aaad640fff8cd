//! Sub-commands of class sessions.

use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Make a session and show its join code (instructors)
    Create {
        title: String,
        /// Repeatable
        #[arg(long, required = true)]
        lab: Vec<String>,
        /// Until the deadline
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=525_600))]
        minutes: u32,
        /// The same lab for everybody
        #[arg(long)]
        shared_seed: bool,
        /// Learners may reveal hints
        #[arg(long)]
        hints: bool,
        /// Verdicts per learner and lab
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
        attempts: u32,
    },
    /// Join with the code that the instructor shows; then: forge start LAB --session ID
    Join { code: String },
    /// Who is where (instructors), or the session itself
    Status { session: String },
    /// Your sessions: those you made, or those you joined here
    List,
    /// The live board: who stands where in each lab, what is red for most, what to ask about (instructors)
    Board { session: String },
    /// Send a hint to everybody, or to one; it shows in the lab they work in (instructors)
    Say {
        session: String,
        text: String,
        /// A learner's id, as `board --json` tells it
        #[arg(long)]
        learner: Option<String>,
    },
    /// Stop a session: nothing more is issued, told or accepted for it (instructors)
    Freeze { session: String },
    /// Let a frozen session go on (instructors)
    Unfreeze { session: String },
    /// Write the results as CSV, or a report signed with your key (instructors)
    #[command(group = clap::ArgGroup::new("what").required(true))]
    Export {
        session: String,
        #[arg(long, value_name = "FILE", group = "what")]
        csv: Option<PathBuf>,
        /// A new folder for report.html, session.csv and their signature
        #[arg(long, value_name = "DIR", group = "what")]
        report: Option<PathBuf>,
    },
}
