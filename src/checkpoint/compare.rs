//! Whether a run can go on from a checkpoint: what may differ, what must not.
//!
//! Settings are compared as they were understood, not as they were written; a comment or the order
//! of a config is no difference.

use super::{Checkpoint, Origin};
use crate::error::{Error, Result};
use crate::replica::Replica;
use crate::system::System;

/// Settings that may change between a checkpoint and the run that goes on from it: they decide
/// when the run ends and when it is saved, not what is computed.
pub const MAY_CHANGE: [&str; 3] = ["run.steps", "run.max_walltime", "checkpoint.every_minutes"];

/// A setting that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its key.
    pub key: String,
    /// Its value in the checkpoint.
    pub old: Option<String>,
    /// Its value now.
    pub new: Option<String>,
}

impl Checkpoint {
    /// Settings that differ from the checkpoint's and may not, by key.
    pub fn differences(&self, settings: &[(String, String)]) -> Vec<Difference> {
        let value = |settings: &[(String, String)], key: &str| {
            let found = settings.iter().find(|(found, _)| found == key);
            found.map(|(_, value)| value.clone())
        };
        let all = self.origin.settings.iter().chain(settings);
        let mut keys: Vec<&str> = all.map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| !MAY_CHANGE.contains(key));
        let differences = keys.into_iter().map(|key| Difference {
            key: key.to_owned(),
            old: value(&self.origin.settings, key),
            new: value(settings, key),
        });
        differences.filter(|found| found.old != found.new).collect()
    }

    /// Refuses to go on with other settings, another force field or other replicas.
    pub fn check(&self, now: &Origin, system: &System, replicas: &[Replica]) -> Result<()> {
        let mut differences = self.differences(&now.settings);
        if self.origin.student_hash != now.student_hash {
            differences.push(Difference {
                key: "force field (SHA-256)".to_owned(),
                old: Some(self.origin.student_hash.clone()),
                new: Some(now.student_hash.clone()),
            });
        }
        if !differences.is_empty() {
            let mut what = "the run in this folder was started with other settings:".to_owned();
            for Difference { key, old, new } in &differences {
                let old = old.as_deref().unwrap_or("(not set)");
                let new = new.as_deref().unwrap_or("(not set)");
                what = format!("{what}\n  {key}: {old} -> {new}");
            }
            return Err(Error::input(what).hint(
                "undo the change to resume, or start a new run with --out or --overwrite; only \
                 the number of steps, the checkpoint interval and the walltime may change",
            ));
        }
        let same = self.replicas.len() == replicas.len()
            && self.replicas.iter().zip(replicas).all(|(old, new)| {
                let atoms = system.molecules[new.id.molecule as usize].len();
                old.id == new.id && old.positions_ang.len() == atoms
            });
        if same {
            return Ok(());
        }
        Err(
            Error::input("the checkpoint in this folder has other replicas than this run")
                .hint("put the structure files back, or start a new run with --out or --overwrite"),
        )
    }

    /// Where the promise of identical bits ends: another device or version. Worth a warning and a
    /// note in the summary, no reason to stop.
    pub fn breaks(&self, now: &Origin) -> Vec<String> {
        let mut breaks = Vec::new();
        for (what, old, new) in [
            ("version", &self.origin.version, &now.version),
            ("device", &self.origin.device, &now.device),
        ] {
            if old != new {
                breaks.push(format!(
                    "from step {} on with another {what}, {new} instead of {old}: the last bits \
                     will differ from those of an uninterrupted run",
                    self.step
                ));
            }
        }
        breaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Origin;
    use crate::write::{Offsets, sample};

    fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn checkpoint(pairs: &[(&str, &str)]) -> (System, Checkpoint) {
        let system = sample::system(&["water"]);
        let replicas = sample::replicas(&system, 1, 2);
        let checkpoint = Checkpoint {
            step: 0,
            origin: Origin {
                settings: settings(pairs),
                student_hash: "abc".to_owned(),
                version: "1.0.0".to_owned(),
                device: "a CPU".to_owned(),
            },
            offsets: Offsets::default(),
            replicas,
        };
        (system, checkpoint)
    }

    #[test]
    fn only_settings_of_when_may_change() {
        let (_, checkpoint) = checkpoint(&[("run.steps", "10"), ("run.timestep_fs", "0.5")]);
        for (now, differs) in [
            (vec![("run.steps", "20"), ("run.timestep_fs", "0.5")], None),
            (
                vec![("run.timestep_fs", "0.5"), ("run.max_walltime", "1h")],
                None,
            ),
            (
                vec![("run.timestep_fs", "1")],
                Some(("run.timestep_fs", Some("0.5"), Some("1"))),
            ),
            (vec![], Some(("run.timestep_fs", Some("0.5"), None))),
            (
                vec![("run.timestep_fs", "0.5"), ("seed", "1")],
                Some(("seed", None, Some("1"))),
            ),
            // Steps of the minimisation are not steps of the run.
            (
                vec![("run.timestep_fs", "0.5"), ("minimize.steps", "1")],
                Some(("minimize.steps", None, Some("1"))),
            ),
        ] {
            let found = checkpoint.differences(&settings(&now));
            let expected = differs.map(|(key, old, new)| Difference {
                key: key.to_owned(),
                old: old.map(str::to_owned),
                new: new.map(str::to_owned),
            });
            assert_eq!(found, Vec::from_iter(expected), "{now:?}");
        }
    }

    #[test]
    fn a_refusal_shows_the_difference_and_the_way_out() {
        let (system, checkpoint) = checkpoint(&[("seed", "1")]);
        let mut now = checkpoint.origin.clone();
        checkpoint
            .check(&now, &system, &checkpoint.replicas)
            .unwrap();
        now.settings = settings(&[("seed", "2")]);
        now.student_hash = "def".to_owned();
        let refused = checkpoint
            .check(&now, &system, &checkpoint.replicas)
            .unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        let text = refused.to_string();
        for part in ["seed: 1 -> 2", "abc -> def", "--overwrite"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn other_replicas_are_refused() {
        let (system, checkpoint) = checkpoint(&[]);
        let now = &checkpoint.origin;
        assert!(
            checkpoint
                .check(now, &system, &checkpoint.replicas[..1])
                .is_err()
        );
        let mut renamed = checkpoint.replicas.clone();
        renamed[1].id.name_hash += 1;
        assert!(checkpoint.check(now, &system, &renamed).is_err());
    }

    #[test]
    fn another_machine_is_a_break_and_no_refusal() {
        let (system, checkpoint) = checkpoint(&[]);
        let mut now = checkpoint.origin.clone();
        assert!(checkpoint.breaks(&now).is_empty());
        now.device = "another CPU".to_owned();
        checkpoint
            .check(&now, &system, &checkpoint.replicas)
            .unwrap();
        assert!(checkpoint.breaks(&now)[0].contains("another CPU instead of a CPU"));
    }
}
