//! When to stop early: signals and the wall-clock limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

use crate::error::{Error, Result};

/// Why a run stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// SIGTERM, SIGINT or SIGUSR1.
    Signal,
    /// `--max-walltime`.
    Walltime,
    /// A device that failed.
    Device,
}

/// Watches for a reason to stop.
#[derive(Debug)]
pub struct Interrupt {
    signalled: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Interrupt {
    /// Traps the signals; a second one of them ends the process as if they were not trapped.
    ///
    /// `max_walltime` counts from now and is kept with a hundredth (at least two seconds, at most half) in hand
    /// for the last checkpoint.
    pub fn install(max_walltime: Option<Duration>) -> Result<Self> {
        let signalled = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGUSR1] {
            flag::register_conditional_default(signal, Arc::clone(&signalled))
                .and_then(|_| flag::register(signal, Arc::clone(&signalled)))
                .map_err(|source| Error::run(format!("cannot trap signal {signal}: {source}")))?;
        }
        let reserve = |limit: Duration| (limit / 100).max(Duration::from_secs(2)).min(limit / 2);
        let deadline =
            max_walltime.map(|limit| Instant::now() + limit.saturating_sub(reserve(limit)));
        Ok(Self {
            signalled,
            deadline,
        })
    }

    /// Whether to stop now, and why.
    pub fn cause(&self) -> Option<Cause> {
        if self.signalled.load(Ordering::Relaxed) {
            return Some(Cause::Signal);
        }
        let passed = self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        passed.then_some(Cause::Walltime)
    }
}
