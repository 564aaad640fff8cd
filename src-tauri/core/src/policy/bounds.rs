//! How much a decision may take. Time is regorus' own timer; memory is counted by its allocator, which knows one limit for
//! the whole process: while somebody evaluates, it stands at what the process had then plus [`MEMORY`].

use regorus::set_global_memory_limit;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus_mimalloc::global_allocation_stats_snapshot;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Against a policy that never ends; wall time, so generous enough that a busy machine does not deny by it.
pub(super) const TIME: Duration = Duration::from_secs(1);
/// Against a policy that piles up; what other threads allocate meanwhile counts as well, so generous too.
pub(super) const MEMORY: u64 = 128 << 20;
/// Units of work between two looks at the clock.
const INTERVAL: u32 = 64;

static EVALUATING: Mutex<u32> = Mutex::new(0);

pub(super) fn timer() -> Option<ExecutionTimerConfig> {
    NonZeroU32::new(INTERVAL).map(|check_interval| ExecutionTimerConfig { limit: TIME, check_interval })
}

/// The memory limit holds as long as one of these does; without any, what the rest of the app allocates is its own.
pub(super) struct MemoryBound(());

impl MemoryBound {
    pub fn hold() -> Self {
        *EVALUATING.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let used = global_allocation_stats_snapshot().allocated;
        set_global_memory_limit(Some(used.saturating_add(MEMORY)));
        Self(())
    }
}

impl Drop for MemoryBound {
    fn drop(&mut self) {
        let mut evaluating = EVALUATING.lock().unwrap_or_else(PoisonError::into_inner);
        *evaluating = evaluating.saturating_sub(1);
        if *evaluating == 0 {
            set_global_memory_limit(None);
        }
    }
}
