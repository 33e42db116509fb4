//! Every change that this program makes in an output folder, one method each.
//!
//! Names are plain names in the folder; nothing here can reach outside it. Nothing stays open: a
//! run of 10,000 replicas has as many files and few descriptors. Keeping all changes in one place
//! lets the tests end the program before, within and after each of them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many files are brought to stable storage at a time: a journaling file system commits them
/// together, 10,000 files in about a second instead of twenty.
const SYNC_THREADS: usize = 8;

/// Free bytes on the file system of a folder, as far as this user may use them; none where there is no
/// such folder or the file system does not say.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    // Some virtual file systems have no blocks at all.
    (found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(found.f_frsize))
}

/// What was appended to the files of a folder, and how long that and bringing it to stable storage took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Time.
    pub time: Duration,
}

/// A folder on a disk.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    bytes: AtomicU64,
    time_ns: AtomicU64,
    #[cfg(test)]
    pub(crate) faults: super::faults::Faults,
}

impl Disk {
    /// The existing folder `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            bytes: AtomicU64::new(0),
            time_ns: AtomicU64::new(0),
            #[cfg(test)]
            faults: super::faults::Faults::default(),
        }
    }

    /// Where the file `name` is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What [`Disk::write_at`] and [`Disk::sync_all`] have done so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            bytes: self.bytes.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.time_ns.load(Ordering::Relaxed)),
        }
    }

    fn timed(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let started = Instant::now();
        let worked = work();
        let time_ns = started.elapsed().as_nanos() as u64;
        self.time_ns.fetch_add(time_ns, Ordering::Relaxed);
        worked
    }

    /// The length of a regular file, `None` if there is nothing of that name. Anything else that
    /// has the name, a symbolic link above all, is an error.
    pub fn len(&self, name: &str) -> io::Result<Option<u64>> {
        match fs::symlink_metadata(self.path(name)) {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(found) if found.is_symlink() => Err(io::Error::other(
                "it is a symbolic link, and outputs stay in their folder",
            )),
            Ok(_) => Err(io::Error::other("it is not a regular file")),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(source),
        }
    }

    /// Writes `bytes` as the whole of a file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.write(&self.path(name), None, bytes)?;
        fs::write(self.path(name), bytes)
    }

    /// Writes pieces at their places in a file, in order, creating it where there is none.
    pub fn write_at(&self, name: &str, pieces: &[(u64, &[u8])]) -> io::Result<()> {
        self.timed(|| {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(self.path(name))?;
            for (offset, bytes) in pieces {
                #[cfg(test)]
                self.faults.write(&self.path(name), Some(*offset), bytes)?;
                file.write_all_at(bytes, *offset)?;
                self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Ok(())
        })
    }

    /// Cuts a file to `length` bytes.
    pub fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.change(&self.path(name))?;
        OpenOptions::new()
            .write(true)
            .open(self.path(name))?
            .set_len(length)
    }

    /// Removes a file; that there is none is no error.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        #[cfg(test)]
        self.faults.change(&self.path(name))?;
        match fs::remove_file(self.path(name)) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Gives a file another name, in place of what had it.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        #[cfg(test)]
        self.faults.rename(&self.path(from), &self.path(to))?;
        fs::rename(self.path(from), self.path(to))
    }

    /// Brings a file's contents to stable storage.
    pub fn sync(&self, name: &str) -> io::Result<()> {
        #[cfg(test)]
        self.faults.change(&self.path(name))?;
        File::open(self.path(name))?.sync_all()?;
        #[cfg(test)]
        self.faults.synced(&self.path(name));
        Ok(())
    }

    /// Brings the contents of many files to stable storage.
    pub fn sync_all(&self, names: &[&str]) -> io::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let share = names.len().div_ceil(SYNC_THREADS);
        let sync_part = |part: &[&str]| part.iter().try_for_each(|name| self.sync(name));
        let all = || {
            std::thread::scope(|scope| {
                let parts = names.chunks(share);
                let workers: Vec<_> = parts
                    .map(|part| scope.spawn(move || sync_part(part)))
                    .collect();
                workers.into_iter().try_for_each(|worker| {
                    worker
                        .join()
                        .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
                })
            })
        };
        self.timed(all)
    }

    /// Brings creations, renames and removals in the folder to stable storage.
    pub fn sync_folder(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.change(&self.root)?;
        File::open(&self.root)?.sync_all()
    }

    /// Replaces a small file as a whole: whenever it is looked at, it is the old or the new one.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = super::unfinished(name);
        self.write(&unfinished, bytes)?;
        self.sync(&unfinished)?;
        self.rename(&unfinished, name)?;
        self.sync_folder()
    }
}
