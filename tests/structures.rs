//! Reading XYZ and extXYZ: what is understood, and that nothing hostile gets further than an error.

#[path = "common/domain.rs"]
mod domain;
#[path = "common/random.rs"]
mod random;

use std::path::Path;

use domain::domain;
use mdrun::structure::{Structure, check, parse, parse_xyz, read};
use random::Random;

const FOLDER: &str = "tests/config/structures";

fn structures(name: &str) -> Vec<Structure> {
    read(&Path::new(FOLDER).join(name)).unwrap()
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let (plain, windows) = (structures("water.xyz"), structures("windows.xyz"));
    assert_eq!(plain[0].positions_ang, windows[0].positions_ang);
    assert_eq!(plain[0].numbers, windows[0].numbers);
    assert_eq!(windows[0].title, "water é");
}

#[test]
fn columns_exponents_and_atomic_numbers_are_understood() {
    let (plain, columns) = (structures("water.xyz"), structures("columns.extxyz"));
    assert_eq!(plain[0].positions_ang, columns[0].positions_ang);
    assert_eq!(plain[0].numbers, columns[0].numbers);
    assert_eq!((plain[0].charge, columns[0].charge), (None, Some(0)));
}

#[test]
fn frames_know_their_lines() {
    let frames = structures("water-three-frames.xyz");
    let lines: Vec<_> = frames
        .iter()
        .map(|frame| (frame.line, frame.line_of_atom(2)))
        .collect();
    assert_eq!(lines, [(1, 5), (6, 10), (11, 15)]);
}

#[test]
fn bonds_come_from_distances() {
    assert_eq!(
        structures("methane.xyz")[0].bonds(),
        [(0, 1), (0, 2), (0, 3), (0, 4)]
    );
}

#[test]
fn a_file_cut_anywhere_is_whole_frames_or_an_error() {
    let path = Path::new("cut.xyz");
    let whole = std::fs::read(Path::new(FOLDER).join("water-three-frames.xyz")).unwrap();
    for length in 0..whole.len() {
        match parse(path, &whole[..length]) {
            Ok(frames) => assert!(
                frames.iter().all(|frame| frame.numbers.len() == 3),
                "{length}"
            ),
            Err(error) => assert_eq!(error.exit_code(), 2, "{length}"),
        }
    }
}

/// Held in memory: a position and a number for each atom, and the title.
fn bytes_held(structures: &[Structure]) -> usize {
    let of = |structure: &Structure| {
        structure.title.capacity()
            + structure.numbers.capacity()
            + structure.positions_ang.capacity() * size_of::<[f64; 3]>()
    };
    structures.iter().map(of).sum()
}

#[test]
fn hostile_bytes_are_refused_without_a_panic_and_hold_no_memory() {
    let path = Path::new("hostile.xyz");
    let seeds = [
        "columns.extxyz",
        "water-three-frames.xyz",
        "windows.xyz",
        "two-compounds.xyz",
    ]
    .map(|name| std::fs::read(Path::new(FOLDER).join(name)).unwrap());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for round in 0..20_000 {
        let bytes = random.mutated(
            &seeds[round % seeds.len()],
            b"0123456789-+.eEdD \t\r\n=\":HCOx",
        );
        if let Ok(structures) = parse_xyz(path, &bytes) {
            accepted += 1;
            // 25 bytes an atom from lines of 8 bytes or more: about three times at the very worst.
            assert!(bytes_held(&structures) <= 4 * bytes.len(), "{round}");
            for structure in structures {
                let _ = check(&structure, &domain(), None, path);
            }
        }
    }
    // Otherwise the mutations would be too wild to reach deep into the reader.
    assert!(accepted > 1000, "{accepted}");
}

#[test]
fn a_count_that_promises_too_much_reserves_nothing() {
    for count in [
        "4294967296",
        "18446744073709551615",
        "9999999999999999999999",
    ] {
        let text = format!("{count}\n\nH 0 0 0\n");
        assert!(parse_xyz(Path::new("count.xyz"), text.as_bytes()).is_err());
    }
}

#[test]
fn two_molecules_in_contact_are_one_system() {
    let text = "4\n\nH 0 0 0\nH 0 0 0.74\nH 3 0 0\nH 3 0 0.74\n";
    let path = Path::new("pair.xyz");
    let pair = &parse_xyz(path, text.as_bytes()).unwrap()[0];
    check(pair, &domain(), None, path).unwrap();
}

#[cfg(not(feature = "chemfiles"))]
#[test]
fn a_lean_build_says_how_to_read_other_formats() {
    let error = parse(Path::new("x.SDF"), b"anything")
        .unwrap_err()
        .to_string();
    assert!(error.contains("this build reads no SDF files"), "{error}");
    assert!(error.contains("convert it to XYZ"), "{error}");
}
