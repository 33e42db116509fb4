//! What a run spent on its outputs, and whether the disk was what it waited for.

use std::time::Duration;

use crate::write::Traffic;

/// Less than this part of a run is not worth a word.
const SHARE_MIN: f64 = 0.1;
/// Nor is less than this, which the files of many replicas cost at any start and end.
const WAITED_MIN: Duration = Duration::from_secs(10);

/// What a run spent on its outputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputCost {
    /// Time that replicas stood still for frames and lines of the log.
    pub waited: Duration,
    /// Time that they stood still for checkpoints, before which everything goes to stable storage.
    pub checkpoints: Duration,
}

impl OutputCost {
    /// Says what a run of this length waited for, if it did so for long; the disk's part of `traffic`
    /// may have been beside the steps.
    pub fn message(&self, run: Duration, traffic: Traffic) -> Option<String> {
        let seconds = |time: Duration| time.as_secs_f64();
        let waited = self.waited + self.checkpoints;
        if waited < WAITED_MIN || seconds(waited) < SHARE_MIN * seconds(run) {
            return None;
        }
        let (run_s, waited_s, disk_s) = (seconds(run), seconds(waited), seconds(traffic.time));
        let waited =
            format!("{waited_s:.0} of {run_s:.0} s went to output that the steps waited for");
        if disk_s < 0.5 * waited_s {
            return Some(format!(
                "{waited}, {disk_s:.0} s of it on the disk: raise log_every or frames_every"
            ));
        }
        // What the steps alone would give to write, and what was taken.
        let megabytes = 1e-6 * traffic.bytes as f64;
        let wanted = megabytes / (run_s - waited_s).max(1e-9);
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
        let message = |run_s, waited_s, disk_s| {
            let cost = OutputCost {
                waited: Duration::from_secs(waited_s),
                checkpoints: Duration::from_secs(1),
            };
            let traffic = Traffic {
                bytes: 1_000_000_000,
                time: Duration::from_secs(disk_s),
            };
            cost.message(Duration::from_secs(run_s), traffic)
        };
        assert_eq!(message(200, 15, 8), None);
        assert_eq!(message(20, 8, 8), None);
        // 1 GB in the 50 s of the steps alone, but the disk needed 80 s for it.
        let disk = message(100, 49, 80).unwrap();
        assert!(disk.contains("50 of 100 s"), "{disk}");
        assert!(
            disk.contains("makes 20.0 MB/s, the disk took 12.5 MB/s"),
            "{disk}"
        );
        let numbers = message(100, 49, 5).unwrap();
        assert!(numbers.contains("5 s of it on the disk"), "{numbers}");
    }
}
