//! A file that only grows, with a buffer before it.
//!
//! The file is created when its first bytes leave the buffer, so it is never empty. No descriptor
//! is held. A failed write leaves the buffer as it was and can be tried again: bytes go to their
//! own place in the file, whatever is there.

use std::io;

use super::disk::Disk;

/// One file and what is still to be written to it.
#[derive(Debug)]
pub struct Appended {
    name: String,
    buffer: Vec<u8>,
    /// Bytes of the file that are already on disk.
    written: u64,
    /// Whether some of them may not be on stable storage.
    unsynced: bool,
}

impl Appended {
    /// A file of `written` bytes; 0 for one that does not exist yet.
    pub fn new(name: String, written: u64) -> Self {
        Self {
            name,
            buffer: Vec::new(),
            written,
            unsynced: false,
        }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its length once the buffer is written.
    pub fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Whether there is nothing of it yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where to add to it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// How many bytes wait in the buffer.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Writes the buffer, and after it `patch` over older bytes.
    pub fn write(&mut self, disk: &Disk, patch: Option<(u64, &[u8])>) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.unsynced = true;
        let appended = (self.written, self.buffer.as_slice());
        match patch {
            None => disk.write_at(&self.name, &[appended])?,
            Some(patch) => disk.write_at(&self.name, &[appended, patch])?,
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Whether something was written since [`Appended::mark_synced`].
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Notes that all that was written is on stable storage.
    pub fn mark_synced(&mut self) {
        self.unsynced = false;
    }
}
