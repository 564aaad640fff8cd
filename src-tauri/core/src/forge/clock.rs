//! The engine's one clock. Wall time is what records and people are told. What decides (a run's time, its duration) is
//! steady time: it starts with the wall clock and then goes by the time since boot, so that setting the clock forward
//! does not end a run and setting it back does not lose one.

use crate::api::RunSummary;
use crate::store::runs::{Run, Started};

/// Unix milliseconds. The one place where the engine reads the wall clock.
pub(super) fn now() -> i64 {
    source::wall()
}

/// This moment by both clocks.
pub(super) fn moment() -> Started {
    let (boot, monotonic_ms) = source::since_boot();
    Started { at: now(), boot, monotonic_ms, later: None }
}

/// Now, as a run counts: by the time since boot where it is known, by the wall clock otherwise.
pub(super) fn steady(started: Option<&Started>) -> i64 {
    let here = moment();
    started.map_or(here.at, |s| s.steady(&here))
}

/// Whether a run has to be told by which clocks it counts from now on: this machine was booted since.
pub(super) fn rebooted(started: &Started) -> Option<Started> {
    let here = moment();
    (!started.boot.is_empty() && !here.boot.is_empty() && !started.counts_by(&here.boot)).then_some(here)
}

/// As the shells see it now. Its deadline is told by the wall clock, whatever that says by now.
pub(super) fn summary(row: &Run) -> RunSummary {
    let mut summary = row.summary(steady(row.started.as_ref()));
    if let (Some(deadline), Some(left)) = (&mut summary.deadline, summary.remaining_ms) {
        *deadline = now() + left;
    }
    summary
}

/// Milliseconds a run has lasted, never negative.
pub(super) fn elapsed_ms(started: &Started) -> u64 {
    u64::try_from(steady(Some(started)) - started.at).unwrap_or(0)
}

mod source {
    #[cfg(test)]
    pub(in crate::forge) use fake::{FAKE, Fake};

    pub(super) fn wall() -> i64 {
        #[cfg(test)]
        if let Some(fake) = fake::read() {
            return fake.0;
        }
        let real = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        real.saturating_add(crate::fault::clock_off())
    }

    /// Identifies the boot (empty where the system does not say), and milliseconds since it, suspended time included.
    pub(super) fn since_boot() -> (String, i64) {
        #[cfg(test)]
        if let Some(fake) = fake::read() {
            return (fake.1, fake.2);
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        (boot.map(|s| s.trim().to_owned()).unwrap_or_default(), uptime_ms())
    }

    fn uptime_ms() -> i64 {
        let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let seconds: f64 = text.split(' ').next().and_then(|s| s.parse().ok()).unwrap_or(0.0);
        (seconds * 1000.0) as i64
    }

    #[cfg(test)]
    mod fake {
        /// Wall time, boot, time since boot.
        pub(in crate::forge) type Fake = Box<dyn Fn() -> (i64, String, i64)>;

        thread_local! {
            /// One thread's clock, for tests and the simulation.
            pub(in crate::forge) static FAKE: std::cell::RefCell<Option<Fake>> = const { std::cell::RefCell::new(None) };
        }

        pub(super) fn read() -> Option<(i64, String, i64)> {
            FAKE.with_borrow(|f| f.as_ref().map(|f| f()))
        }
    }
}

/// This thread is a simulation: nothing in it may depend on other threads.
#[cfg(test)]
pub(super) fn is_fake() -> bool {
    source::FAKE.with_borrow(Option::is_some)
}

#[cfg(test)]
pub(super) fn set_for_this_thread(fake: Option<source::Fake>) {
    source::FAKE.set(fake);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, boot: &str, up: i64) {
        let boot = boot.to_owned();
        set_for_this_thread(Some(Box::new(move || (wall, boot.clone(), up))));
    }

    #[test]
    fn a_clock_that_is_set_moves_no_run() {
        at(1_000_000, "a", 500);
        let mut started = moment();
        for jump in [0, 7_200_000, -7_200_000] {
            at(1_060_000 + jump, "a", 60_500);
            assert_eq!(steady(Some(&started)), 1_060_000, "set by {jump}");
            assert_eq!(elapsed_ms(&started), 60_000);
            assert_eq!(rebooted(&started), None);
        }
        // Another boot: only the wall clock can say how long the machine was off, and it is asked once.
        at(1_300_000, "b", 20);
        assert_eq!(steady(Some(&started)), 1_300_000);
        started.later = rebooted(&started).map(Box::new);
        at(9_300_000, "b", 1_020);
        assert_eq!(steady(Some(&started)), 1_301_000);
        assert_eq!(rebooted(&started), None);
        set_for_this_thread(None);
    }
}
