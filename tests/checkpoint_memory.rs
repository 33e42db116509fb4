//! What a checkpoint file can make its reader do: nothing but refuse it, in memory that the file's
//! own size bounds.

use std::alloc::{GlobalAlloc, Layout, System as Heap};
use std::sync::atomic::{AtomicUsize, Ordering};

use mdrun::checkpoint::{self, Checkpoint, VERSION};
use mdrun::random::philox4x32;
use mdrun::replica::{Parameters, Replica, ReplicaId, Status};
use mdrun::write::{CHECKPOINT, Folder, Mode, Offsets};

/// Beside twice the file: for the strings of the header, which are small in a file and not in
/// memory.
const EXTRA_BYTES_MAX: usize = 16 << 20;

/// The heap, with what is in use and the most that was.
struct Counted {
    used: AtomicUsize,
    most: AtomicUsize,
}

#[global_allocator]
static HEAP: Counted = Counted {
    used: AtomicUsize::new(0),
    most: AtomicUsize::new(0),
};

// Counting passes every request on as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = self.used.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        self.most.fetch_max(used, Ordering::Relaxed);
        unsafe { Heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.used.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { Heap.dealloc(pointer, layout) }
    }
}

/// The result, and the most memory it took on the way.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HEAP.used.load(Ordering::Relaxed);
    HEAP.most.store(before, Ordering::Relaxed);
    let result = work();
    (result, HEAP.most.load(Ordering::Relaxed) - before)
}

/// The file of a checkpoint of so many replicas, of one atom each: as small as they get.
fn file(replicas: u32, settings: usize) -> Vec<u8> {
    let replica = |copy| Replica {
        id: ReplicaId {
            molecule: 0,
            name_hash: 1,
            temperature: 0,
            copy,
        },
        step: 3,
        parameters: Parameters {
            timestep_fs: 0.5,
            temperature_k: 300.0,
            friction_per_fs: 1e-3,
        },
        positions_ang: vec![[1.0; 3]],
        velocities_ang_per_fs: vec![[2.0; 3]],
        forces_ev_per_ang: vec![[3.0; 3]],
        energy_ev: -1.0,
        kinetic_ev: 1.0,
        bath_heat_ev: 0.5,
        status: Status::Running,
    };
    let count = replicas as usize;
    let checkpoint = Checkpoint {
        step: 3,
        settings: vec![("a".to_owned(), String::new()); settings],
        student_hash: String::new(),
        version: VERSION.to_owned(),
        device: String::new(),
        breaks: Vec::new(),
        offsets: Offsets {
            log: 1,
            dcd: vec![2; count],
            extxyz: vec![3; count],
        },
        replicas: (0..replicas).map(replica).collect(),
    };
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::open(root.path(), Mode::Fresh).unwrap();
    checkpoint.save(&folder).unwrap();
    std::fs::read(root.path().join(CHECKPOINT)).unwrap()
}

// One test, so that no other one's memory is counted.
#[test]
fn a_reader_s_memory_is_bounded_by_the_file() {
    let bytes = file(50_000, 0);
    let (read, most) = measured(|| checkpoint::parse(&bytes).unwrap());
    assert_eq!(read.replicas.len(), 50_000);
    assert!(
        most < 2 * bytes.len(),
        "{most} bytes for a file of {}",
        bytes.len()
    );
    drop(read);

    // A header of as many empty strings as it may have.
    let bytes = file(1, 120_000);
    let (read, most) = measured(|| checkpoint::parse(&bytes).unwrap());
    assert!(
        most < 2 * bytes.len() + EXTRA_BYTES_MAX,
        "{most} bytes for {}",
        bytes.len()
    );
    drop(read);

    // Anything at all, in the places that matter most: counts and lengths.
    let bytes = file(3, 2);
    for draw in 0..100_000 {
        let [place, value, kind, length] = philox4x32([draw, 0, 0, 0], [5, 7]);
        let mut bytes = bytes.clone();
        let at = place as usize % bytes.len();
        for (byte, new) in bytes[at..].iter_mut().zip(value.to_le_bytes()) {
            *byte = if kind % 3 == 0 { 0xff } else { new };
        }
        if kind % 5 == 0 {
            bytes.truncate(length as usize % bytes.len());
        }
        let (read, most) = measured(|| checkpoint::parse(&bytes));
        assert!(read.is_err() || bytes == file(3, 2));
        assert!(
            most < 2 * bytes.len() + (1 << 12),
            "{most} bytes for {}",
            bytes.len()
        );
    }
}
