//! What was tried to get out of a lab, and what came of it.

use super::contract;

contract! {
    /// What was proven about this run's isolation, and when.
    pub struct Isolation {
        pub state: IsolationState,
        pub detail: String,
        pub at: Option<i64>,
        /// The look into the lab's network namespaces that every launch ends with.
        #[serde(default)]
        pub quick: Vec<IsolationRow>,
        /// The last proof in full; None until somebody asks for it.
        #[serde(default)]
        pub full: Option<FullProof>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum IsolationState { Unknown, Isolated, Leaking }

    pub struct FullProof { pub at: i64, pub ms: u64, pub rows: Vec<IsolationRow> }

    /// One technique. It holds when the control worked and nothing escaped.
    #[derive(Eq)]
    pub struct IsolationRow {
        pub id: String,
        pub group: String,
        /// In words.
        pub technique: String,
        /// The same attempt succeeded where it should: without that, a failed escape proves nothing.
        pub control: bool,
        pub escaped: bool,
        pub detail: String,
    }

    #[serde(deny_unknown_fields)]
    pub struct ProbeIsolation {
        pub run: String,
        /// All techniques, from a sacrificial node; without it, the quick look.
        #[serde(default)]
        pub full: bool,
    }
}

impl Isolation {
    /// Before anything was proven.
    pub fn unknown(detail: &str) -> Self {
        Self { state: IsolationState::Unknown, detail: detail.to_owned(), at: None, quick: Vec::new(), full: None }
    }
}

impl IsolationRow {
    pub fn holds(&self) -> bool {
        self.control && !self.escaped
    }
}
