//! `forge catalogue`: for those who change labs and make releases. It needs no engine and no data folder.

use crate::args::CatalogueCommand;
use crate::out::Out;
use forge_core::error::Result;
use forge_core::keys::Portable;
use forge_core::template::pins;
use std::process::ExitCode;

pub fn run(what: CatalogueCommand, out: &Out) -> Result<ExitCode> {
    match what {
        CatalogueCommand::Lock { dir } => {
            let written = pins::write_lock(&dir)?;
            out.answer(&serde_json::json!({ "written": written }), |out, _| match written.as_slice() {
                [] => out.line("Nothing is new."),
                new => out.line(format!("Written down: {}.", new.join(", "))),
            })?;
        }
        CatalogueCommand::Verify { dir } => {
            let labs = pins::check_lock(&dir)?;
            out.answer(&serde_json::json!({"ok": true, "labs": labs}), |out, _| {
                out.line(format!("{labs} labs are what is written down."))
            })?;
        }
        CatalogueCommand::Keygen { file } => {
            let key = Portable::make(&file, &mut forge_core::keys::system_rng())?;
            let public = key.public();
            out.answer(&serde_json::json!({"key_id": public.id(), "public_pem": public.pem()}), |out, _| {
                out.line(format!("Key {} is in {}; keep it out of every repository.", public.id(), file.display()))
            })?;
        }
        CatalogueCommand::Sign { key, dir } => {
            let id = pins::sign_lock(&dir, &Portable::open(&key)?)?;
            out.answer(&serde_json::json!({ "key_id": id }), |out, _| {
                out.line(format!("Signed with {id}; a build from here embeds the signature and the public key."))
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
