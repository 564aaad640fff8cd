//! The desktop shell: opens the window at once and the engine behind it, hands calls and streams over, and nothing else.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod calls;
mod engine;
mod streams;
mod surroundings;
mod window;

use std::process::ExitCode;
use tauri::{Manager, RunEvent};

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|a| a == "keep") {
        return engine::keep();
    }
    surroundings::settle();
    let app = tauri::Builder::default()
        .manage(engine::Opening::new(std::env::args_os().any(|a| a == "--instructor")))
        .manage(streams::Streams::default())
        .invoke_handler(tauri::generate_handler![
            calls::call,
            calls::terminal_write,
            streams::open_stream,
            streams::ack_stream,
            streams::close_stream
        ])
        .setup(|app| {
            window::open(app)?;
            engine::open_behind(app.handle());
            Ok(())
        })
        .build(tauri::generate_context!());
    let app = match app {
        Ok(app) => app,
        // No window can be made (no display, no web view): the terminal is the only place left to say so.
        Err(e) => {
            eprintln!(
                "FrostGate Forge could not open its window: {e}\nWithout a display, use `forge serve` and a browser."
            );
            return ExitCode::FAILURE;
        }
    };
    app.run(|app, event| {
        if let RunEvent::Exit = event {
            tauri::async_runtime::block_on(app.state::<engine::Opening>().close());
        }
    });
    ExitCode::SUCCESS
}
