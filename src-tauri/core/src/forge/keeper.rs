//! Leaving a process behind that keeps the runs of this data folder once this one has gone.

use super::Forge;
use super::presence::KeeperLock;

impl Forge {
    /// Leaves a process behind that ends this run when its time is up, unless one keeps already.
    pub(super) fn ensure_keeper(&self) {
        if !self.options.keep && matches!(KeeperLock::taken(&self.options.home), Ok(false)) {
            self.spawn_keeper();
        }
    }

    /// The process finds out by itself whether another one keeps.
    pub(super) fn spawn_keeper(&self) {
        let Some((program, arguments)) = self.options.keeper.split_first() else { return };
        let mut command = std::process::Command::new(program);
        let passphrase = self.keys.passphrase();
        if passphrase.is_some() {
            command.env("FORGE_PASSPHRASE_FILE", "-");
        }
        command
            .args(arguments)
            .stdin(if passphrase.is_some() { std::process::Stdio::piped() } else { std::process::Stdio::null() })
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let started = command.spawn().and_then(|mut keeper| match (&passphrase, keeper.stdin.take()) {
            // Fits into any pipe, so a keeper that reads late holds nobody up.
            (Some(passphrase), Some(pipe)) => passphrase.write_to(pipe),
            _ => Ok(()),
        });
        if let Err(e) = started {
            tracing::warn!("no keeper could be started, so runs end only while a forge process is open: {e}");
        }
    }
}
