//! Opening the engine: the one file of this shell that names it by its type.

use crate::out::Out;
use forge_core::api::Caller;
use forge_core::error::{Error, Result};
use forge_core::shell::Shellable;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

pub async fn open(home: PathBuf, shell: &str, labs: Option<PathBuf>) -> Result<Arc<dyn Shellable>> {
    Err(Error::internal(format!("no engine is linked ({}, {shell}, {labs:?})", home.display())))
}

pub async fn keep(home: PathBuf) -> Result<ExitCode> {
    Err(Error::internal(format!("no engine is linked ({})", home.display())))
}

pub fn schema(_: &Out) -> Result<ExitCode> {
    Err(Error::internal("no engine is linked"))
}

pub async fn prove(
    home: PathBuf,
    _: Option<PathBuf>,
    _: &Caller,
    _: &Out,
    lab: &str,
    _: Vec<String>,
) -> Result<ExitCode> {
    Err(Error::internal(format!("no engine is linked ({}, {lab})", home.display())))
}
