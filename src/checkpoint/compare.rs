//! Whether a run can go on from a checkpoint: what may differ, what must not.
//!
//! Settings are compared as they were understood, not as they were written; a comment or the order
//! of a config is no difference.

use std::collections::{BTreeSet, HashMap};

use super::{Checkpoint, VERSION};
use crate::error::{Error, Result};
use crate::replica::Replica;

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
        let [old, new] = [self.settings.as_slice(), settings].map(by_key);
        let mut keys: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        keys.retain(|key| !MAY_CHANGE.contains(key) && old.get(key) != new.get(key));
        let owned = |value: Option<&&str>| value.map(|value| (*value).to_owned());
        let difference = |key: &str| Difference {
            key: key.to_owned(),
            old: owned(old.get(key)),
            new: owned(new.get(key)),
        };
        keys.into_iter().map(difference).collect()
    }

    /// Refuses to go on with other settings or another force field.
    pub fn agree(&self, settings: &[(String, String)], student_hash: &str) -> Result<()> {
        let mut differences = self.differences(settings);
        if self.student_hash != student_hash {
            differences.push(Difference {
                key: "force field (SHA-256)".to_owned(),
                old: Some(self.student_hash.clone()),
                new: Some(student_hash.to_owned()),
            });
        }
        if differences.is_empty() {
            return Ok(());
        }
        let mut what = "the run in this folder was started with other settings:".to_owned();
        for Difference { key, old, new } in &differences {
            let old = old.as_deref().unwrap_or("(not set)");
            let new = new.as_deref().unwrap_or("(not set)");
            what = format!("{what}\n  {key}: {old} -> {new}");
        }
        Err(Error::input(what).hint(
            "undo the change to resume, or start a new run with --out or --overwrite; only the \
             number of steps, the checkpoint interval and the walltime may change",
        ))
    }

    /// Refuses to go on with other replicas, or other molecules under their names.
    pub fn fits(&self, replicas: &[Replica]) -> Result<()> {
        let atoms = |replica: &Replica| replica.positions_ang.len();
        let same = self.replicas.len() == replicas.len()
            && self
                .replicas
                .iter()
                .zip(replicas)
                .all(|(old, new)| old.id == new.id && atoms(old) == atoms(new));
        if same {
            return Ok(());
        }
        Err(
            Error::input("the checkpoint in this folder has other replicas than this run")
                .hint("put the structure files back, or start a new run with --out or --overwrite"),
        )
    }

    /// Why the run cannot go on to the same bits on this device with this program. Worth a warning
    /// and a note in [`Checkpoint::breaks`], no reason to stop.
    pub fn broken_by(&self, device: &str) -> Option<String> {
        let version =
            (self.version != VERSION).then(|| format!("version {VERSION}, not {}", self.version));
        let device = (self.device != device).then(|| format!("{device}, not {}", self.device));
        let differences: Vec<_> = version.into_iter().chain(device).collect();
        (!differences.is_empty()).then(|| differences.join("; "))
    }

    /// The seed that the run was started with.
    pub fn seed(&self) -> Option<u64> {
        let found = self.settings.iter().find(|(key, _)| key == "seed");
        found?.1.parse().ok()
    }
}

fn by_key(settings: &[(String, String)]) -> HashMap<&str, &str> {
    let pairs = settings.iter().map(|(key, value)| (&**key, &**value));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{Offsets, sample};

    fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn checkpoint(pairs: &[(&str, &str)]) -> Checkpoint {
        Checkpoint {
            step: 0,
            settings: settings(pairs),
            student_hash: "abc".to_owned(),
            version: VERSION.to_owned(),
            device: "a CPU".to_owned(),
            breaks: Vec::new(),
            offsets: Offsets::default(),
            replicas: sample::replicas(&sample::system(&["water"]), 1, 2),
        }
    }

    #[test]
    fn only_settings_of_when_may_change() {
        let checkpoint = checkpoint(&[("run.steps", "10"), ("run.timestep_fs", "0.5")]);
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
        let checkpoint = checkpoint(&[("seed", "1")]);
        checkpoint.agree(&checkpoint.settings, "abc").unwrap();
        let refused = checkpoint.agree(&settings(&[("seed", "2")]), "def");
        let refused = refused.unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        let text = refused.to_string();
        for part in ["seed: 1 -> 2", "abc -> def", "--overwrite"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn other_replicas_are_refused() {
        let checkpoint = checkpoint(&[]);
        checkpoint.fits(&checkpoint.replicas).unwrap();
        assert!(checkpoint.fits(&checkpoint.replicas[..1]).is_err());
        let mut others = checkpoint.replicas.clone();
        others[1].id.name_hash += 1;
        assert!(checkpoint.fits(&others).is_err());
        let mut others = checkpoint.replicas.clone();
        others[1].positions_ang.pop();
        assert!(checkpoint.fits(&others).is_err());
    }

    #[test]
    fn another_machine_is_a_break_and_no_refusal() {
        let mut checkpoint = checkpoint(&[]);
        assert_eq!(checkpoint.broken_by("a CPU"), None);
        let broken = checkpoint.broken_by("another CPU");
        assert_eq!(broken.as_deref(), Some("another CPU, not a CPU"));
        checkpoint.version = "0.0.1".to_owned();
        let broken = checkpoint.broken_by("a CPU").unwrap();
        assert!(broken.ends_with("not 0.0.1"), "{broken}");
    }

    #[test]
    fn the_seed_is_one_of_the_settings() {
        assert_eq!(
            checkpoint(&[("seed", "18446744073709551615")]).seed(),
            Some(u64::MAX)
        );
        assert_eq!(checkpoint(&[("seed", "x")]).seed(), None);
        assert_eq!(checkpoint(&[]).seed(), None);
    }
}
