//! Sub-commands about where private keys are kept.

use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Move your private keys; they are removed from the old place when they are known to be at the new one
    #[command(group = clap::ArgGroup::new("to").required(true))]
    Protect {
        /// Into this system's secret store
        #[arg(long, group = "to")]
        os: bool,
        /// Into a file under a passphrase, or under another one
        #[arg(long, group = "to")]
        passphrase: bool,
        /// Into plain files that only you may read
        #[arg(long, group = "to")]
        plain: bool,
        /// The new passphrase, if nobody is to be asked: as --passphrase-file
        #[arg(long, value_name = "FILE", requires = "passphrase")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Replace a key: the old one signs the new one, and what it signed stays good
    Rotate {
        #[arg(value_enum, default_value = "learner")]
        name: KeyArg,
    },
    /// Open the keys once, and give you two minutes to unlock this system's secret store
    Unlock,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum KeyArg {
    /// Signs verdicts and audit checkpoints
    Learner,
    /// Signs launch tokens
    Spawn,
    /// Signs labs and egress profiles made here
    Catalogue,
}
