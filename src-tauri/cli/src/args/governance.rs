//! Sub-commands of the gates and the audit log.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// List the gates
    List,
    /// Run the policies' test data
    Test,
    /// Ask a gate about the JSON on stdin; exits with 0 when it allows, 3 when it denies
    Eval { gate: String },
    /// List what was decided, newest first
    Log {
        #[arg(long)]
        gate: Option<String>,
        #[arg(long)]
        run: Option<String>,
        /// Denials only
        #[arg(long)]
        denied: bool,
        /// Only decisions before this one
        #[arg(long, value_name = "DECISION")]
        before: Option<i64>,
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Say why something was decided as it was, and what was asked
    Why { decision: i64 },
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify the whole log and every signed checkpoint of it; exits with 0 when it is whole, 6 when not
    Verify,
    /// List entries, newest first
    List {
        /// What the kind begins with, such as `gate.` or `verdict`
        #[arg(long)]
        kind: Option<String>,
        #[arg(long)]
        run: Option<String>,
        /// Only entries before this one
        #[arg(long, value_name = "ENTRY")]
        before: Option<i64>,
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
}
