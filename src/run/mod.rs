//! The step loop, the only one there is.
//!
//! It advances all replicas to the next event of a calendar counted in steps: a frame, a line of
//! the log, the end.  The clock decides when to look up from that (for signals, for a checkpoint)
//! and so how the way is cut into pieces, but never what is computed: `advance(a + b)` is
//! `advance(a)` then `advance(b)`.
//!
//! What is due at an event is written while a device makes the next steps; before a checkpoint and
//! at the end, everything that is due has been written.

mod interrupt;
mod output_cost;
mod progress;

use std::time::{Duration, Instant};

use crate::engine::{Engine, Uncertainty};
use crate::error::Result;
use crate::integrate::Scheme;
use crate::replica::Replica;
use crate::system::System;
use crate::write::{Offsets, Outputs};

pub use interrupt::{Cause, Interrupt};
pub use output_cost::OutputCost;
pub use progress::{Progress, SearchProgress, duration};

/// What happens at which step.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    /// Steps in all.
    pub steps: u64,
    /// Steps between frames.
    pub frames_every: u64,
    /// Steps between lines of the log.
    pub log_every: u64,
}

/// Clock times.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Between checkpoints.
    pub checkpoint_every: Duration,
    /// Between two looks at signals and the clock, if writing takes no longer.
    pub look_every: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        let checkpoint_every = Duration::from_secs(600);
        Self {
            checkpoint_every,
            look_every: Duration::from_millis(300),
        }
    }
}

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps were made, or no replica is left that could make any.
    Complete,
    /// It was interrupted after this many steps.
    Interrupted(Cause),
}

impl Calendar {
    /// The first step after `step` at which something is due.
    fn next_after(&self, step: u64) -> u64 {
        let next = |every: u64| (step / every).saturating_add(1).saturating_mul(every);
        next(self.frames_every)
            .min(next(self.log_every))
            .min(self.steps)
    }
}

/// Everything that the loop moves.
pub struct Campaign<'a> {
    /// The molecules.
    pub system: &'a System,
    /// How they move.
    pub scheme: Scheme,
    /// Where they are stepped; its slots are `replicas` at `step`, with forces.
    pub engine: &'a mut dyn Engine,
    /// What says how far off the forces may be, at lines of the log only.
    pub uncertainty: Option<&'a Uncertainty>,
    /// The state when it was last written.
    pub replicas: &'a mut [Replica],
    /// Steps made.
    pub step: u64,
    /// Whether `outputs` hold everything that is due up to `step`.
    pub written: bool,
    /// What is written.
    pub outputs: &'a mut Outputs,
    /// What that has cost so far.
    pub cost: OutputCost,
}

impl Campaign<'_> {
    /// Steps to the end of the calendar or to an interruption; `save` is called with the state and
    /// the lengths of all flushed outputs at every checkpoint, the last one being the end.
    pub fn run(
        &mut self,
        calendar: &Calendar,
        clock: &Clock,
        interrupt: &Interrupt,
        progress: &mut Progress,
        mut save: impl FnMut(u64, &[Replica], Offsets) -> Result<()>,
    ) -> Result<Ending> {
        let mut last_checkpoint = Instant::now();
        let mut pace = Pace::new(clock.look_every);
        // What the last frames and lines took.
        let mut writing = Duration::ZERO;
        if !self.written {
            // A drawn seed and a long minimisation must not be lost before the first interval.
            self.checkpoint(calendar, &mut save)?;
        }
        let ending = loop {
            let nobody_left = !self.replicas.iter().any(Replica::is_running);
            if nobody_left {
                // The end must not depend on when the clock let us look.
                let last = self
                    .replicas
                    .iter()
                    .map(|replica| replica.step)
                    .max()
                    .unwrap_or(0);
                self.step = calendar.next_after(last).min(calendar.steps);
            }
            if self.step >= calendar.steps || nobody_left {
                break Ending::Complete;
            }
            if let Some(cause) = interrupt.cause() {
                break Ending::Interrupted(cause);
            }
            if last_checkpoint.elapsed() >= clock.checkpoint_every {
                self.checkpoint(calendar, &mut save)?;
                last_checkpoint = Instant::now();
            }
            let event = calendar.next_after(self.step);
            let beside = if self.written {
                Duration::ZERO
            } else {
                writing
            };
            let steps = pace.steps(beside).min(event - self.step);
            let started = Instant::now();
            writing = self.advance(calendar, steps)?.unwrap_or(writing);
            pace.took(steps, started.elapsed());
            self.step += steps;
            self.written = self.step < event;
            progress.at(self.step);
        };
        progress.finish();
        self.checkpoint(calendar, &mut save)?;
        Ok(ending)
    }

    /// Steps, and meanwhile writes what is due at this step; how long that took, if anything was.
    fn advance(&mut self, calendar: &Calendar, steps: u64) -> Result<Option<Duration>> {
        let program = self.scheme.program();
        if self.written {
            self.engine.advance(program, steps)?;
            return Ok(None);
        }
        let (step, outputs) = (self.step, &mut *self.outputs);
        let (system, uncertainty) = (self.system, self.uncertainty);
        let mut writing = Duration::ZERO;
        let mut write = |replicas: &[Replica]| {
            let started = Instant::now();
            observe(calendar, step, system, uncertainty, replicas, outputs)?;
            writing = started.elapsed();
            Ok(())
        };
        let engine = &mut self.engine;
        self.cost.waited += engine.advance_while((program, steps), self.replicas, &mut write)?;
        Ok(Some(writing))
    }

    /// Writes what is due at this step, brings it to stable storage, and saves the state.
    fn checkpoint(
        &mut self,
        calendar: &Calendar,
        save: &mut impl FnMut(u64, &[Replica], Offsets) -> Result<()>,
    ) -> Result<()> {
        let started = Instant::now();
        self.engine.snapshot(self.replicas)?;
        if !self.written {
            let (system, uncertainty) = (self.system, self.uncertainty);
            let (replicas, outputs) = (&*self.replicas, &mut *self.outputs);
            observe(calendar, self.step, system, uncertainty, replicas, outputs)?;
            self.written = true;
        }
        let offsets = self.outputs.flush(self.replicas)?;
        save(self.step, self.replicas, offsets)?;
        self.cost.checkpoints += started.elapsed();
        Ok(())
    }
}

/// Writes what is due at a step.
fn observe(
    calendar: &Calendar,
    step: u64,
    system: &System,
    uncertainty: Option<&Uncertainty>,
    replicas: &[Replica],
    outputs: &mut Outputs,
) -> Result<()> {
    if step.is_multiple_of(calendar.frames_every) {
        outputs.frame(system, replicas)?;
    }
    if step.is_multiple_of(calendar.log_every) {
        let errors = uncertainty.map(|known| known.force_errors_ev_per_ang(replicas));
        outputs.log(system, replicas, errors.as_deref())?;
    }
    Ok(())
}

/// How many steps fit between two looks at the clock.
struct Pace {
    look_every: Duration,
    steps: u64,
}

impl Pace {
    fn new(look_every: Duration) -> Self {
        Self {
            look_every,
            steps: 1,
        }
    }

    /// As many as fit, or more where something goes on beside them that a device is not to wait for.
    fn steps(&self, beside: Duration) -> u64 {
        let enough = 1.5 * beside.as_secs_f64() / self.look_every.as_secs_f64();
        (self.steps as f64 * enough.max(1.0)) as u64
    }

    /// Learns from how long some steps took; never more than doubles.
    fn took(&mut self, steps: u64, time: Duration) {
        let fitting = self.look_every.as_secs_f64() / time.as_secs_f64().max(1e-9) * steps as f64;
        self.steps = (fitting as u64).clamp(1, 2 * self.steps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_as_many_as_fit_or_as_writing_takes() {
        let mut pace = Pace::new(Duration::from_millis(300));
        for _ in 0..10 {
            let steps = pace.steps(Duration::ZERO);
            pace.took(steps, Duration::from_millis(2 * steps));
        }
        let steps = |writing_ms| pace.steps(Duration::from_millis(writing_ms));
        assert_eq!([0, 200, 400, 1000].map(steps), [150, 150, 300, 750]);
    }

    #[test]
    fn the_calendar_stops_at_every_event_and_at_the_end() {
        let calendar = Calendar {
            steps: 25,
            frames_every: 10,
            log_every: 4,
        };
        let mut stops = vec![0];
        while *stops.last().unwrap() < calendar.steps {
            stops.push(calendar.next_after(*stops.last().unwrap()));
        }
        assert_eq!(stops, [0, 4, 8, 10, 12, 16, 20, 24, 25]);
        let rare = Calendar {
            steps: 7,
            frames_every: u64::MAX,
            log_every: u64::MAX,
        };
        assert_eq!(rare.next_after(0), 7);
    }
}
