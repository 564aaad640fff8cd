//! This machine and this installation: images, jobs, the doctor, settings.

use super::contract;
use super::topology::Step;
use crate::error::Error;

contract! {
    pub struct ImageInfo {
        pub name: String,
        /// What it is for, in a few words.
        pub purpose: String,
        pub ready: bool,
        /// Why it must be (re)built; empty when ready.
        pub reason: String,
        pub digest: Option<String>,
        pub bytes: Option<u64>,
        /// The labs that need it.
        pub labs: Vec<String>,
    }

    #[serde(deny_unknown_fields)]
    pub struct PrepareImages {
        /// All when empty.
        #[serde(default)]
        pub images: Vec<String>,
    }

    /// A long job that streams `job.step` events and can be cancelled.
    pub struct Job { pub job: String }
    pub struct JobRequest { pub job: String }
    pub struct JobInfo { pub job: String, pub kind: String, pub steps: Vec<Step>, pub done: bool, pub error: Option<Error> }

    pub struct DoctorReport { pub ready: bool, pub rows: Vec<DoctorRow> }

    pub struct DoctorRow {
        pub id: String,
        pub title: String,
        pub state: Health,
        pub detail: String,
        pub why: String,
        pub fix: Option<Fix>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Health { Ok, Warn, Fail }

    /// Either something the app does when asked, or a command for the user to run.
    #[serde(tag = "kind", rename_all = "snake_case")]
    pub enum Fix {
        /// Call this command of the contract with these arguments.
        Call { label: String, command: String, #[ts(type = "unknown")] args: serde_json::Value },
        Shell { label: String, command: String },
    }

    #[serde(default, deny_unknown_fields)]
    pub struct Settings {
        pub theme: Theme,
        /// Points; 9 to 24.
        pub terminal_font_size: u8,
        /// Check while the learner works.
        pub continuous_checks: bool,
        /// Pause running labs when the app has been idle for this many minutes; 0 = never.
        pub idle_pause_minutes: u32,
        /// Pick up where the first run left off; true once it has been walked through or dismissed.
        pub first_run_done: bool,
        /// Where verdict folders go; empty = `results` in the data folder.
        pub results_dir: String,
        /// Under which plan labs are started here; empty = practice. `FORGE_PLAN` goes before it.
        pub plan: String,
        /// A billing gateway and its public key (PEM or 64 hex digits); both empty = nothing is charged.
        /// `FORGE_BILLING_URL` and `FORGE_BILLING_KEY` go before them.
        pub billing_url: String,
        pub billing_key: String,
    }

    #[derive(Copy, Eq, Default)]
    #[serde(rename_all = "snake_case")]
    pub enum Theme { #[default] System, Dark, Light }

    /// Where private keys lie.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum KeyPlace {
        /// The operating system's secret store.
        Os,
        /// A file, encrypted under a passphrase.
        Passphrase,
        /// Files that only their owner may read.
        Plain,
    }

    pub struct KeysKept {
        pub place: KeyPlace,
        pub told: String,
        /// What their owner should know, and what to do.
        pub warning: Option<String>,
        /// Keeps them better.
        pub command: Option<String>,
    }

    pub struct About {
        pub version: String,
        pub home: String,
        pub key_id: String,
        pub keys: KeysKept,
        pub docker: Option<String>,
        pub platform: String,
        /// `desktop`, `serve` or `cli`.
        pub shell: String,
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: Theme::System,
            terminal_font_size: 13,
            continuous_checks: true,
            idle_pause_minutes: 0,
            first_run_done: false,
            results_dir: String::new(),
            plan: String::new(),
            billing_url: String::new(),
            billing_key: String::new(),
        }
    }
}
