//! Sub-commands about labs, what they are made of and where they may reach.

use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum LabsCommand {
    /// Say that this version of your lab is as it should be; it can be started from then on
    Pin { lab: String },
}

#[derive(Debug, Subcommand)]
pub enum CatalogueCommand {
    /// Write new versions down; a changed lab with an old version is refused
    Lock {
        #[arg(long, default_value = "templates", value_name = "DIR")]
        dir: PathBuf,
    },
    /// Compare the labs with what is written down
    Verify {
        #[arg(long, default_value = "templates", value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make a release key; its private half goes to FILE and nowhere else
    Keygen { file: PathBuf },
    /// Sign what is written down; the public half is put beside it, for the build
    Sign {
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[arg(long, default_value = "templates", value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum ImagesCommand {
    /// Build what is missing or out of date
    Prepare { images: Vec<String> },
}

#[derive(Debug, Subcommand)]
pub enum EgressCommand {
    /// Profiles, what they open, and whether they can be used
    List,
    /// Sign a profile with this installation's key, so that labs may use it
    Approve { file: PathBuf },
}
