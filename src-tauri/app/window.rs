//! The window: shown at once, showing only our own pages; links to a lab's forwarded ports open in the user's browser.

use crate::streams::Streams;
use std::process::{Command, Stdio};
use tauri::webview::{NewWindowResponse, PageLoadEvent};
use tauri::{App, Manager, Url, WebviewWindowBuilder};

/// Runs before every page's own scripts; the page brings the same file, for `forge serve`.
const FREEZE: &str = include_str!("../../ui/public/freeze.js");

pub fn open(app: &App) -> tauri::Result<()> {
    let Some(config) = app.config().app.windows.iter().find(|w| w.label == "main") else {
        return Err(tauri::Error::WindowNotFound);
    };
    WebviewWindowBuilder::from_config(app, config)?
        .initialization_script(FREEZE)
        .on_navigation(ours)
        .on_new_window(|url, _| {
            open_in_browser(&url);
            NewWindowResponse::Deny
        })
        .on_page_load(|window, payload| {
            if payload.event() == PageLoadEvent::Started {
                window.state::<Streams>().end_all();
            }
        })
        .build()?;
    Ok(())
}

/// Our own pages: the embedded ones, and the development server of a debug build without `custom-protocol`.
fn ours(url: &Url) -> bool {
    match (url.scheme(), url.host_str()) {
        ("tauri", _) | ("http" | "https", Some("tauri.localhost")) => true,
        ("http", Some("localhost")) => cfg!(not(feature = "custom-protocol")) && url.port() == Some(5173),
        _ => false,
    }
}

/// Only what a forward can be: a TCP port of this machine's loopback address, by HTTP.
fn forwarded(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host_str() == Some("127.0.0.1")
        && url.port().is_some()
        && url.username().is_empty()
}

fn open_in_browser(url: &Url) {
    if !forwarded(url) {
        tracing::warn!(
            "a link to {} was not followed: only forwarded ports open in the browser",
            url.host_str().unwrap_or("nowhere")
        );
        return;
    }
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        let mut c = Command::new("rundll32");
        c.arg("url.dll,FileProtocolHandler");
        c
    } else {
        Command::new("xdg-open")
    };
    let spawned = command.arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match spawned {
        // Waited for on a thread of its own, so that no zombie stays.
        Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
        Err(e) => tracing::warn!("no browser could be started for {url}: {e}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_our_pages_are_shown_and_only_forwards_leave_the_window() {
        let url = |s: &str| Url::parse(s).unwrap();
        assert!(ours(&url("tauri://localhost/index.html")));
        for elsewhere in
            ["https://example.org/", "http://127.0.0.1:8080/", "file:///etc/passwd", "http://tauri.localhost.evil/"]
        {
            assert!(!ours(&url(elsewhere)), "{elsewhere}");
        }
        assert!(forwarded(&url("http://127.0.0.1:40123/")));
        for refused in
            ["http://127.0.0.1/", "http://localhost:1/", "http://u@127.0.0.1:9/", "file:///x", "https://example.org:1/"]
        {
            assert!(!forwarded(&url(refused)), "{refused}");
        }
    }
}
