//! An end of the program, or of its power, at a chosen change of the disk. For tests alone.
//!
//! The countdown is set to n; the n-th change after that does not happen, or half happens if it is
//! a write, and nothing after it does. Losing the power also takes back what was written to files
//! since they were last brought to stable storage.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// When the program ends, and what stable storage knows.
#[derive(Debug, Default)]
pub struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Changes left before the end; `None` for no end.
    countdown: Option<u64>,
    ended: bool,
    /// The file system is full when this many more bytes are written.
    bytes_free: Option<u64>,
    /// Length on stable storage of files that have more or other contents than that.
    stable: HashMap<PathBuf, u64>,
}

impl Faults {
    /// Ends the program at the `changes`-th change from now, counted from 0.
    pub fn end_at(&self, changes: u64) {
        self.state().countdown = Some(changes);
    }

    /// Whether the end has come.
    pub fn ended(&self) -> bool {
        self.state().ended
    }

    /// Leaves room for so many bytes.
    pub fn fill_up(&self, bytes_free: Option<u64>) {
        self.state().bytes_free = bytes_free;
    }

    /// Takes back what has not reached stable storage.
    pub fn lose_power(&self) {
        for (path, length) in self.state().stable.drain() {
            if let Ok(file) = OpenOptions::new().write(true).open(path) {
                file.set_len(length).unwrap();
            }
        }
    }

    /// Called before any change that is not a write.
    pub fn change(&self, _path: &Path) -> io::Result<()> {
        self.state().tick()
    }

    /// Called before `bytes` are written to a file, at an offset or as the whole of it.
    pub fn write(&self, path: &Path, offset: Option<u64>, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let length = path.metadata().map_or(0, |found| found.len());
        let stable = offset.map_or(0, |_| length);
        state.stable.entry(path.to_owned()).or_insert(stable);
        let ended_before = state.ended;
        if let Err(end) = state.tick() {
            if !ended_before {
                write_half(path, offset, bytes);
            }
            return Err(end);
        }
        if let Some(free) = &mut state.bytes_free {
            let needed = (offset.unwrap_or(0) + bytes.len() as u64).saturating_sub(length);
            if needed > *free {
                write_half(path, offset, bytes);
                return Err(io::ErrorKind::StorageFull.into());
            }
            *free -= needed;
        }
        Ok(())
    }

    /// Called before a rename.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.tick()?;
        state.stable.remove(to);
        if let Some(length) = state.stable.remove(from) {
            state.stable.insert(to.to_owned(), length);
        }
        Ok(())
    }

    /// Called after a file was brought to stable storage.
    pub fn synced(&self, path: &Path) {
        self.state().stable.remove(path);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn tick(&mut self) -> io::Result<()> {
        match &mut self.countdown {
            None => Ok(()),
            Some(0) => {
                self.ended = true;
                Err(io::Error::other("the test ended the program here"))
            }
            Some(changes) => {
                *changes -= 1;
                Ok(())
            }
        }
    }
}

/// The torn write of a program that ends within it.
fn write_half(path: &Path, offset: Option<u64>, bytes: &[u8]) {
    let half = &bytes[..bytes.len() / 2];
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(offset.is_none())
        .open(path)
        .unwrap();
    file.write_all_at(half, offset.unwrap_or(0)).unwrap();
}
