//! What a run spent on its outputs, and whether the disk was what it waited for.

use std::time::Duration;

use crate::write::Traffic;

/// Less than this part of a run is not worth a word.
const SHARE_MIN: f64 = 0.1;
/// Nor is less than this, which any start and end cost.
const WAITED_MIN: Duration = Duration::from_secs(2);

/// What a run spent on its outputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputCost {
    /// Time that replicas stood still for them.
    pub waited: Duration,
    /// What went to the disk; its time may be beside the steps.
    pub traffic: Traffic,
}

impl OutputCost {
    /// Says what a run of this length waited for, if it did so for long.
    pub fn message(&self, run: Duration) -> Option<String> {
        let share = self.waited.as_secs_f64() / run.as_secs_f64().max(1e-9);
        if share < SHARE_MIN || self.waited < WAITED_MIN {
            return None;
        }
        let seconds = |time: Duration| time.as_secs_f64();
        let waited = format!(
            "{:.0} of {:.0} s went to output that the steps waited for",
            seconds(self.waited),
            seconds(run)
        );
        let disk_s = seconds(self.traffic.time);
        if disk_s < 0.5 * seconds(self.waited) {
            return Some(format!(
                "{waited}, {disk_s:.0} s of it on the disk: raise log_every or frames_every"
            ));
        }
        // What the steps alone would give to write, and what was taken.
        let megabytes = 1e-6 * self.traffic.bytes as f64;
        let wanted = megabytes / seconds(run.saturating_sub(self.waited)).max(1e-9);
        let taken = megabytes / disk_s;
        Some(format!(
            "{waited}: it makes {wanted:.1} MB/s, the disk took {taken:.1} MB/s; raise frames_every, \
             or name a folder on a faster disk with --out"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_named_when_it_is_the_disk() {
        let cost = |waited_s, time_s, bytes| OutputCost {
            waited: Duration::from_secs(waited_s),
            traffic: Traffic {
                bytes,
                time: Duration::from_secs(time_s),
            },
        };
        let run = Duration::from_secs(100);
        assert_eq!(cost(9, 9, 1_000_000_000).message(run), None);
        assert_eq!(cost(1, 1, 1_000_000).message(Duration::from_secs(2)), None);
        // 1 GB in the 50 s of the steps alone, but the disk needed 80 s for it.
        let disk = cost(50, 80, 1_000_000_000).message(run).unwrap();
        assert!(disk.contains("50 of 100 s"), "{disk}");
        assert!(
            disk.contains("makes 20.0 MB/s, the disk took 12.5 MB/s"),
            "{disk}"
        );
        let numbers = cost(50, 5, 1_000_000_000).message(run).unwrap();
        assert!(numbers.contains("5 s of it on the disk"), "{numbers}");
    }
}
