//! Plans, payment, limits and what of them is used; who is kept out, and why.

use super::contract;

contract! {
    pub struct QuotaReport {
        pub subject: String,
        pub tenant: String,
        pub mode: PlanMode,
        /// `practice`, or the plan's name; the last known one where a gateway decides at each start.
        pub plan: String,
        /// Why this plan, in one line.
        pub plan_from: String,
        pub billing: BillingInfo,
        /// Set when this subject may not start labs.
        pub blocked: Option<BlockInfo>,
        pub rows: Vec<QuotaRow>,
        pub runs: Vec<RunUse>,
        pub disk: DiskInfo,
        /// Everybody who holds labs on this machine, the largest first; for instructors only, else empty.
        pub holders: Vec<HolderInfo>,
        /// Everybody who is blocked; for instructors only, else empty.
        pub blocks: Vec<BlockInfo>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum PlanMode {
        /// Alone on this machine: its size is the limit.
        Practice,
        /// A plan set on this machine.
        Plan,
        /// A billing gateway grants and charges each start.
        Gateway,
    }

    pub struct BillingInfo {
        /// False: the stub, which asks nobody and charges nothing.
        pub gateway: bool,
        pub detail: String,
        pub url: Option<String>,
        /// Fingerprint of the key its answers must be signed with.
        pub key_id: Option<String>,
        /// Newest first.
        pub charges: Vec<ChargeInfo>,
    }

    pub struct ChargeInfo {
        /// The request id it was ordered under.
        pub order: String,
        pub at: i64,
        pub lab: String,
        pub plan: String,
        /// In the currency's smallest unit.
        pub amount: u64,
        pub currency: String,
        pub state: ChargeWord,
        pub run: Option<String>,
        /// What went wrong last, if something did.
        pub error: String,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum ChargeWord {
        /// No receipt yet; the next start asks for it again.
        Ordered,
        /// Paid, and waits for a start.
        Paid,
        /// Paid for the run it names.
        Used,
        /// It starts nothing any more.
        Void,
    }

    /// One limit and what of it is taken.
    pub struct QuotaRow {
        /// `runs`, `cpu`, `memory`, `pids`, `disk`, `today`, `minute`.
        pub id: String,
        pub title: String,
        /// True: all subjects together, false: the one who asks.
        pub machine: bool,
        pub used: f64,
        pub limit: Option<f64>,
        /// `""`, `CPUs`, `MiB`.
        pub unit: String,
    }

    /// What a run that is alive was promised, and what of the disk it has taken.
    pub struct RunUse {
        pub run: String,
        pub lab_title: String,
        pub subject: String,
        pub cpu_milli: u64,
        pub memory_mb: u64,
        pub pids: u64,
        pub disk_mb: u64,
        /// None while nobody has looked.
        pub disk_used_mb: Option<u64>,
    }

    pub struct DiskInfo {
        /// Where labs and results are written; None where the system does not say.
        pub free_mb: Option<u64>,
        /// Below this, nothing is started and running labs are paused.
        pub floor_mb: u64,
    }

    pub struct HolderInfo { pub subject: String, pub memory_mb: u64, pub percent: u64 }

    pub struct BlockInfo { pub subject: String, pub reason: String, pub at: i64 }

    #[serde(deny_unknown_fields)]
    pub struct BlockSubject { pub subject: String, pub reason: String }

    #[serde(deny_unknown_fields)]
    pub struct SubjectRequest { pub subject: String }

    pub struct BlockReport {
        pub block: BlockInfo,
        /// Its runs that were stopped.
        pub stopped: Vec<String>,
    }

    pub struct Pinned {
        pub lab: String,
        pub version: String,
        pub digest: String,
        /// False: the same files were pinned before.
        pub new: bool,
        pub key_id: String,
    }
}
