//! Two generations of checkpoints in an output folder.
//!
//! A new one is written beside the old ones, brought to stable storage, and only then takes their
//! names: whenever the program or the power ends, one that is complete has a name that
//! [`load`] looks at. The outputs a checkpoint speaks of must be on stable storage before it is
//! saved; [`crate::write::Outputs::flush`] sees to that.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::Checkpoint;
use super::format::encode;
use super::parse::parse_from;
use crate::error::{Error, Result};
use crate::write::{CHECKPOINT, CHECKPOINT_DAMAGED, CHECKPOINT_PREVIOUS, Folder, unfinished};

/// A checkpoint to go on from.
#[derive(Debug)]
pub struct Loaded {
    /// The newest good one.
    pub checkpoint: Checkpoint,
    /// What the user must hear about where it comes from.
    pub warnings: Vec<String>,
}

impl Checkpoint {
    /// Saves the state of a run; the last two saved are kept.
    pub fn save(&self, folder: &Folder) -> Result<()> {
        let bytes = encode(self)?;
        let disk = folder.disk();
        let unfinished = unfinished(CHECKPOINT);
        let saved = disk
            .write(&unfinished, &bytes)
            .and_then(|()| disk.sync(&unfinished))
            .and_then(|()| match disk.len(CHECKPOINT)? {
                Some(_) => disk.rename(CHECKPOINT, CHECKPOINT_PREVIOUS),
                None => Ok(()),
            })
            .and_then(|()| disk.rename(&unfinished, CHECKPOINT))
            .and_then(|()| disk.sync_folder());
        saved.map_err(|source| {
            // Room for other files is worth more than half a checkpoint.
            let _ = disk.remove(&unfinished);
            let last =
                read(&disk.path(CHECKPOINT)).or_else(|_| read(&disk.path(CHECKPOINT_PREVIOUS)));
            let last = last.map_or_else(
                |_| "there is none before it".to_owned(),
                |last| format!("the last one saved is of step {}", last.step),
            );
            Error::run(format!(
                "cannot write {}, the checkpoint of step {}: {source}; it needs {} bytes, and \
                 {last}",
                disk.path(&unfinished).display(),
                self.step,
                bytes.len()
            ))
            .hint("make room, and go on from the last checkpoint with --resume")
        })
    }
}

/// Reads one file.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let failed = |source| Error::io("read", path, &source);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    parse_from(BufReader::with_capacity(1 << 16, file), length).map_err(|error| error.at(path, 0))
}

/// The newest good checkpoint of a folder; none if none was ever saved.
///
/// A damaged one is put aside, so that the next to be saved does not take the good one's place.
pub fn load(folder: &Folder) -> Result<Option<Loaded>> {
    let disk = folder.disk();
    let exists = |name| {
        let length = disk.len(name);
        length
            .map(|length| length.is_some())
            .map_err(|source| Error::io("read", &disk.path(name), &source))
    };
    let newest = disk.path(CHECKPOINT);
    let previous = disk.path(CHECKPOINT_PREVIOUS);
    let (newest_exists, previous_exists) = (exists(CHECKPOINT)?, exists(CHECKPOINT_PREVIOUS)?);
    let cause = if newest_exists {
        match read(&newest) {
            Ok(checkpoint) => {
                return Ok(Some(Loaded {
                    checkpoint,
                    warnings: Vec::new(),
                }));
            }
            Err(error) => Some(error),
        }
    } else {
        None
    };
    if !previous_exists {
        return cause.map_or(Ok(None), |error| {
            Err(error.hint("there is no older checkpoint; start again with --overwrite"))
        });
    }
    let checkpoint = read(&previous).map_err(|error| match &cause {
        None => error.hint("there is no other checkpoint; start again with --overwrite"),
        Some(cause) => Error::run(format!(
            "both checkpoints cannot be used: {}: {}; {}: {}",
            newest.display(),
            cause.what(),
            previous.display(),
            error.what()
        ))
        .hint("start again with --overwrite"),
    })?;
    let step = checkpoint.step;
    let warning = match cause {
        None => format!(
            "{} is missing: the run ended while it was saved; going on from the one before, of \
             step {step}",
            newest.display()
        ),
        Some(cause) => {
            disk.rename(CHECKPOINT, CHECKPOINT_DAMAGED)
                .map_err(|source| Error::io("put aside", &newest, &source))?;
            format!(
                "{} cannot be used: {}; it is kept as {CHECKPOINT_DAMAGED}, and the run goes on \
                 from the one before, of step {step}",
                newest.display(),
                cause.what()
            )
        }
    };
    Ok(Some(Loaded {
        checkpoint,
        warnings: vec![warning],
    }))
}
