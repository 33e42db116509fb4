//! What a person watching sees: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// Shows how far a run is, on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    first_step: u64,
    replicas: usize,
    /// Simulated ns of one step of all replicas.
    batch_ns: f64,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// A run of `steps` steps that starts at `first_step`.
    pub fn new(first_step: u64, steps: u64, replicas: usize, timestep_fs: f64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
            let template = "{bar:32} {percent:>3} %  {msg}  {eta} left";
            bar.set_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_position(first_step);
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        let batch_ns = replicas as f64 * timestep_fs * 1e-6;
        Self {
            bar,
            steps,
            first_step,
            replicas,
            batch_ns,
            started: now,
            last_line: now,
        }
    }

    /// All replicas are at `step`.
    pub fn at(&mut self, step: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            bar.set_message(self.speed(step));
        } else if self.last_line.elapsed() >= LINE_EVERY && step > self.first_step {
            self.last_line = Instant::now();
            let done = (step - self.first_step) as f64;
            let rest_s = self.started.elapsed().as_secs_f64() / done * (self.steps - step) as f64;
            crate::say!(
                "step {step} of {}  {}  {} left",
                self.steps,
                self.speed(step),
                duration(Duration::from_secs_f64(rest_s.min(1e9)))
            );
        }
    }

    /// Takes the bar away; later output starts on a clean line.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Molecule-steps per second since the start.
    pub fn molecule_steps_per_s(&self, step: u64) -> f64 {
        let done = (step - self.first_step) as f64 * self.replicas as f64;
        done / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// Simulated time of all replicas together per day, ns.
    pub fn ns_per_day(&self, step: u64) -> f64 {
        self.molecule_steps_per_s(step) / self.replicas.max(1) as f64 * self.batch_ns * 86_400.0
    }

    fn speed(&self, step: u64) -> String {
        let rate = self.molecule_steps_per_s(step);
        format!(
            "{:.1} ns/day in all  {rate:.0} molecule-steps/s",
            self.ns_per_day(step)
        )
    }
}

/// Shows how far a minimisation is, on standard error; nobody knows how many steps it takes.
pub struct SearchProgress {
    bar: Option<ProgressBar>,
    replicas: usize,
    last_line: Instant,
}

impl SearchProgress {
    /// A minimisation of so many replicas.
    pub fn new(replicas: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let all = Some(replicas as u64);
            let bar = ProgressBar::with_draw_target(all, ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self {
            bar,
            replicas,
            last_line: Instant::now(),
        }
    }

    /// After `step` steps so many replicas are still searching.
    pub fn at(&mut self, step: u64, searching: usize) {
        let done = self.replicas - searching;
        let said = format!("minimising: step {step}, {done} of {} done", self.replicas);
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(said);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            crate::say!("{said}");
        }
    }

    /// Takes the bar away; later output starts on a clean line.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration for people: `1h02m`, `3m20s`, `45s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let shown = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(
            (shown(5), shown(200), shown(3720)),
            ("5s".into(), "3m20s".into(), "1h02m".into())
        );
    }
}
