//! The output folder: one run at a time, and nothing of anybody else's touched.
//!
//! A run holds a lock on `.mdrun.lock` that the operating system takes away when the process ends,
//! however it ends. Which files are ours is written in `.mdrun.files` before the first of them is
//! made; only those are ever overwritten or removed. What is in the files is none of this module's
//! business.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read;
use std::path::{Component, Path};

use super::disk::Disk;
use super::{CHECKPOINT, CHECKPOINT_DAMAGED, CHECKPOINT_PREVIOUS, SUMMARY, unfinished};
use crate::error::{Error, Result};

const LOCK: &str = ".mdrun.lock";
const MANIFEST: &str = ".mdrun.files";
/// How these two names start.
const OURS: &[u8] = b".mdrun.";
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// What may be in the folder already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Fresh,
    /// A run to go on with (`--resume`).
    Resume,
    /// An older run, to be removed (`--overwrite`).
    Overwrite,
}

/// A folder that is ours until this is dropped.
#[derive(Debug)]
pub struct Folder {
    disk: Disk,
    lock: File,
}

impl Folder {
    /// Makes the folder if there is none, and locks it. Removes nothing yet.
    pub fn open(path: &Path, mode: Mode) -> Result<Self> {
        fs::create_dir_all(path).map_err(|source| {
            Error::io("create the output folder", path, &source)
                .hint("name another folder with --out")
        })?;
        let disk = Disk::new(path);
        // A lock in somebody else's folder would be litter; but who holds one comes first.
        let is_ours = has(&disk, LOCK)? || has(&disk, MANIFEST)?;
        if mode == Mode::Fresh && !is_ours {
            refuse_contents(path)?;
        }
        let lock = lock(&disk)?;
        if mode == Mode::Fresh {
            refuse_contents(path)?;
        }
        Ok(Self { disk, lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.disk.root()
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Takes the names that a run is going to write, and removes the files of an older run. A file
    /// of that name that is not ours is refused.
    pub(super) fn claim(&self, names: &[&str]) -> Result<()> {
        let old = listed(self.path())?;
        for name in &old {
            // A name that has become somebody's folder or link is not ours any more.
            if matches!(self.disk.len(name), Ok(Some(_))) {
                let removed = self.disk.remove(name);
                removed.map_err(|source| Error::io("remove", &self.disk.path(name), &source))?;
            }
        }
        let run = [CHECKPOINT, CHECKPOINT_PREVIOUS, CHECKPOINT_DAMAGED, SUMMARY];
        let unfinished = [unfinished(SUMMARY), unfinished(CHECKPOINT)];
        // Checkpoints come first in the list, so that none outlives the files it speaks of.
        let names = run.into_iter().chain(names.iter().copied());
        let names = names.chain(unfinished.iter().map(String::as_str));
        let mut manifest = String::new();
        for name in names {
            let path = self.disk.path(name);
            let length = self.disk.len(name);
            if length
                .map_err(|source| Error::io("write", &path, &source))?
                .is_some()
            {
                return Err(Error::input(format!(
                    "{} exists, and is not listed as written by an earlier run",
                    path.display()
                ))
                .hint("move it away, or name another folder with --out"));
            }
            manifest.push_str(name);
            manifest.push('\n');
        }
        self.disk
            .replace(MANIFEST, manifest.as_bytes())
            .map_err(|source| Error::io("write", &self.disk.path(MANIFEST), &source))
    }
}

/// The names that a run has claimed in a folder. Only plain names count: the file may be anybody's.
pub(super) fn listed(folder: &Path) -> Result<Vec<String>> {
    let disk = Disk::new(folder);
    let path = disk.path(MANIFEST);
    let failed = |source| Error::io("read", &path, &source);
    let Some(length) = disk.len(MANIFEST).map_err(failed)? else {
        return Ok(Vec::new());
    };
    if length > MANIFEST_BYTES_MAX {
        return Err(Error::run(format!(
            "{} is no list of files",
            path.display()
        )));
    }
    let bytes = fs::read(&path).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let names = text.lines().filter(|name| is_plain(name));
    Ok(names.map(str::to_owned).collect())
}

/// What the files take that a run has claimed in a folder; 0 where there is none.
pub fn listed_bytes(folder: &Path) -> u64 {
    let disk = Disk::new(folder);
    let names = listed(folder).unwrap_or_default();
    let lengths = names.iter().filter_map(|name| disk.len(name).ok()?);
    lengths.sum()
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Courtesy only: the lock goes with the descriptor, and a stale name in it locks nothing.
        let _ = self.lock.set_len(0);
    }
}

fn has(disk: &Disk, name: &str) -> Result<bool> {
    let length = disk.len(name);
    length
        .map(|length| length.is_some())
        .map_err(|source| Error::io("use", &disk.path(name), &source))
}

/// Locks the folder, and says in the lock who has it.
fn lock(disk: &Disk) -> Result<File> {
    has(disk, LOCK)?;
    let path = disk.path(LOCK);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| {
            Error::io("write in the output folder", &path, &source)
                .hint("name another folder with --out")
        })?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = (&mut lock).take(1024).read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another run",
                holder => holder,
            };
            return Err(Error::input(format!(
                "output folder {} is in use by {holder}",
                disk.root().display()
            ))
            .hint("wait for that run, or name another folder with --out"));
        }
        Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path, &source)),
    }
    let holder = format!("pid {} on {}\n", std::process::id(), host());
    disk.write(LOCK, holder.as_bytes())
        .map_err(|source| Error::io("write", &path, &source))?;
    Ok(lock)
}

/// Refuses a folder with anything in it but an older run's lock and list.
fn refuse_contents(path: &Path) -> Result<()> {
    let failed = |source| Error::io("read", path, &source);
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !name.as_encoded_bytes().starts_with(OURS) {
            return Err(
                Error::input(format!("output folder {} is not empty", path.display())).hint(
                    "--resume goes on with the run in it, --overwrite removes that run's files, \
                 --out DIR writes elsewhere",
                ),
            );
        }
    }
    Ok(())
}

/// Whether a name stays in its folder.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(first)) if first == name)
        && components.next().is_none()
}

/// This machine's name, for messages.
pub(super) fn host() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let named = kernel.or_else(|| std::env::var("HOSTNAME").ok());
    named.map_or_else(|| "this machine".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sample;

    #[test]
    fn two_runs_in_one_folder_are_refused_by_name() {
        let root = sample::root();
        let first = Folder::open(root.path(), Mode::Fresh).unwrap();
        for mode in [Mode::Fresh, Mode::Resume, Mode::Overwrite] {
            let refused = Folder::open(root.path(), mode).unwrap_err().to_string();
            let holder = format!("in use by pid {} on {}", std::process::id(), host());
            assert!(refused.contains(&holder), "{refused}");
        }
        drop(first);
        Folder::open(root.path(), Mode::Fresh).unwrap();
    }

    #[test]
    fn a_stale_lock_file_locks_nothing() {
        let root = sample::root();
        fs::write(root.path().join(LOCK), "pid 1 on elsewhere\n").unwrap();
        Folder::open(root.path(), Mode::Fresh).unwrap();
    }

    #[test]
    fn a_folder_with_files_is_refused_and_left_alone() {
        let root = sample::root();
        fs::write(root.path().join("thesis.tex"), "text").unwrap();
        let refused = Folder::open(root.path(), Mode::Fresh).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        for option in ["--resume", "--overwrite", "--out"] {
            assert!(refused.to_string().contains(option));
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn overwriting_removes_only_what_a_run_has_written() {
        let root = sample::root();
        let path = |name: &str| root.path().join(name);
        {
            let folder = Folder::open(root.path(), Mode::Fresh).unwrap();
            folder.claim(&["a.dcd", "b.dcd"]).unwrap();
        }
        fs::write(path("a.dcd"), "frames").unwrap();
        fs::write(path("foreign.dcd"), "frames").unwrap();
        {
            let folder = Folder::open(root.path(), Mode::Overwrite).unwrap();
            assert!(path("a.dcd").exists());
            folder.claim(&["c.dcd"]).unwrap();
        }
        assert!(!path("a.dcd").exists());
        assert!(path("foreign.dcd").exists());

        let folder = Folder::open(root.path(), Mode::Overwrite).unwrap();
        let refused = folder.claim(&["foreign.dcd"]).unwrap_err().to_string();
        assert!(refused.contains("foreign.dcd exists"), "{refused}");
    }

    #[test]
    fn a_forged_list_removes_nothing_outside() {
        let outside = sample::root();
        let victim = outside.path().join("victim");
        fs::write(&victim, "text").unwrap();
        let root = outside.path().join("out");
        fs::create_dir(&root).unwrap();
        fs::create_dir(root.join("folder")).unwrap();
        std::os::unix::fs::symlink(&victim, root.join("link")).unwrap();
        let list = format!("../victim\n{}\n..\n.\n\nlink\nfolder\n", victim.display());
        fs::write(root.join(MANIFEST), list).unwrap();
        let folder = Folder::open(&root, Mode::Overwrite).unwrap();
        folder.claim(&["a.dcd"]).unwrap();
        assert!(victim.exists() && root.join("link").exists() && root.join("folder").exists());
    }

    #[test]
    fn links_and_folders_are_no_outputs() {
        let root = sample::root();
        std::os::unix::fs::symlink("/tmp/elsewhere", root.path().join("a.dcd")).unwrap();
        fs::create_dir(root.path().join("b.dcd")).unwrap();
        let folder = Folder::open(root.path(), Mode::Resume).unwrap();
        let refused = folder.claim(&["a.dcd"]).unwrap_err().to_string();
        assert!(refused.contains("symbolic link"), "{refused}");
        assert!(folder.claim(&["b.dcd"]).is_err());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_refused() {
        let root = sample::root();
        fs::write(root.path().join("file"), "text").unwrap();
        let refused = Folder::open(&root.path().join("file"), Mode::Fresh).unwrap_err();
        assert!(refused.to_string().contains("--out"));
    }
}
