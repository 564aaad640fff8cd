//! What the web view needs of its environment, put right before anything reads it: by starting this program anew in its
//! own place (same process id), because changing a running program's environment is not safe.

use std::ffi::OsString;

/// Set in the second life, so that there is no third.
#[cfg(target_os = "linux")]
const DONE: &str = "FORGE_SURROUNDINGS";

/// A variable and its new value.
type Change = (&'static str, &'static str);

/// - `C.UTF-8` (usual in containers and on servers) becomes the language “C” in WebKit, which `Intl` then refuses, and the
///   page does not start; plain `C` is understood as English. Pages and file names are UTF-8 either way.
/// - Without a GPU, WebKit's DMA-BUF renderer costs a quarter more memory and four times the work for each repaint.
fn changes(env: impl Fn(&str) -> Option<OsString>, gpu: bool) -> Vec<Change> {
    let get = |name: &str| env(name).filter(|v| !v.is_empty());
    let mut changes = Vec::new();
    let letters = get("LC_ALL").or_else(|| get("LC_CTYPE")).or_else(|| get("LANG"));
    if letters.is_some_and(|l| l.to_string_lossy().to_ascii_uppercase().starts_with("C.")) {
        changes.push(("LC_ALL", "C"));
    }
    if !gpu && env("WEBKIT_DISABLE_DMABUF_RENDERER").is_none() {
        changes.push(("WEBKIT_DISABLE_DMABUF_RENDERER", "1"));
    }
    changes
}

/// Returns when there is nothing to put right, or when it cannot be.
pub fn settle() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        if std::env::var_os(DONE).is_some() {
            return;
        }
        let changes = changes(|name| std::env::var_os(name), std::path::Path::new("/dev/dri").exists());
        let (false, Ok(program)) = (changes.is_empty(), std::env::current_exe()) else { return };
        let mut again = std::process::Command::new(program);
        again.args(std::env::args_os().skip(1)).env(DONE, "1").envs(changes);
        // Only comes back when it failed; then the window opens with the environment as it is.
        let error = again.exec();
        eprintln!("The environment could not be put right: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(vars: &[(&str, &str)], gpu: bool) -> Vec<Change> {
        changes(|name| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| OsString::from(v)), gpu)
    }

    #[test]
    fn only_what_the_web_view_cannot_live_with_is_changed() {
        assert_eq!(with(&[("LANG", "de_DE.UTF-8")], true), []);
        assert_eq!(with(&[("LANG", "C")], true), []);
        assert_eq!(with(&[("LANG", "C.UTF-8")], true), [("LC_ALL", "C")]);
        assert_eq!(with(&[("LANG", "C.UTF-8"), ("LC_CTYPE", "en_GB.UTF-8")], true), []);
        assert_eq!(with(&[("LC_ALL", "C.utf8"), ("LANG", "de_DE.UTF-8")], true), [("LC_ALL", "C")]);
        assert_eq!(with(&[], false), [("WEBKIT_DISABLE_DMABUF_RENDERER", "1")]);
        assert_eq!(with(&[("WEBKIT_DISABLE_DMABUF_RENDERER", "0")], false), [], "the user's word counts");
    }
}
