//! Formats that come through chemfiles: what is read, and what is refused before it gets there.
#![cfg(feature = "chemfiles")]

#[path = "common/domain.rs"]
mod domain;
#[path = "common/random.rs"]
mod random;

use std::path::{Path, PathBuf};

use domain::domain;
use mdrun::config::Config;
use mdrun::plan::{Overrides, Plan};
use mdrun::structure::{Structure, check, parse, read};
use random::Random;

fn path(name: &str) -> PathBuf {
    Path::new("tests/config/structures").join(name)
}

/// The positions are those of water.xyz, to the last digit that these formats keep; the library's
/// own reading of decimals is a bit off in the last place.
fn assert_at_water(found: &Structure) {
    let water = read(&path("water.xyz")).unwrap().remove(0);
    for (found, expected) in found.positions_ang.iter().zip(&water.positions_ang) {
        assert!((0..3).all(|axis| (found[axis] - expected[axis]).abs() < 1e-12));
    }
}

#[test]
fn the_records_of_an_sdf_are_read_with_their_lines_and_bonds() {
    let records = read(&path("two-compounds.sdf")).unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(
        (records[0].line, records[1].line, records[2].line),
        (1, 12, 30)
    );
    assert_at_water(&records[0]);
    assert_eq!(records[1].title, "methane, hot");
    assert_eq!(records[1].numbers, [6, 1, 1, 1, 1]);
    assert_eq!(records[1].bonds(), [(0, 1), (0, 2), (0, 3), (0, 4)]);
    assert_eq!(records[1].line_of_atom(0), 16);
    assert_eq!(records[2].charge, Some(0));
}

#[test]
fn compounds_of_an_sdf_become_molecules_and_conformers_starts() {
    let text = "[run]\nsteps = 1\n[[molecule]]\nname = \"mix\"\nstructure = \"../structures/two-compounds.sdf\"\n";
    let config = Config::parse(Path::new("tests/config/good/none.toml"), text).unwrap();
    let plan = Plan::resolve(&config, &Overrides::default(), &domain()).unwrap();
    let molecules: Vec<_> = plan
        .system
        .molecules
        .iter()
        .map(|m| (m.name.as_str(), m.starts_ang.len()))
        .collect();
    // A title with a blank or a comma in it cannot be a name.
    assert_eq!(molecules, [("water", 2), ("mix-2", 1)]);
}

#[test]
fn the_models_of_a_pdb_are_starts() {
    let models = read(&path("two-models.pdb")).unwrap();
    assert_eq!(models.len(), 2);
    assert_eq!((models[0].line, models[1].line), (2, 7));
    assert_eq!(models[0].numbers, [8, 1, 1]);
    assert_eq!(models[0].bonds(), [(0, 1), (0, 2)]);
    assert_at_water(&models[0]);
}

#[test]
fn the_records_of_a_mol2_are_read_and_partial_charges_add_up() {
    let records = read(&path("partial-charges.mol2")).unwrap();
    let found: Vec<_> = records
        .iter()
        .map(|r| (r.title.as_str(), r.numbers.len(), r.charge, r.line))
        .collect();
    assert_eq!(
        found,
        [("water", 3, Some(0), 2), ("methane", 5, Some(0), 15)]
    );
}

/// What reading and checking a bad file says.
fn refusal(name: &str) -> String {
    let path = path("bad").join(name);
    let error = read(&path).and_then(|structures| {
        structures
            .iter()
            .try_for_each(|structure| check(structure, &domain(), None, &path))
    });
    let error = error.unwrap_err();
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

#[test]
fn what_cannot_be_run_is_refused_with_its_line() {
    for (name, what, line) in [
        ("ammonium.sdf", "a molecule of charge +1", 1),
        ("heavy-water.sdf", "an isotope", 10),
        (
            "torn.sdf",
            "the record ends before the last of its 5 atoms and 4 bonds",
            12,
        ),
        (
            "bond-to-nowhere.sdf",
            "a bond of an atom that is not there",
            9,
        ),
        ("v3000.sdf", "a V3000 record", 4),
        ("drawing.sdf", "a flat drawing", 2),
        ("no-element.pdb", "columns 77 and 78 name no element", 1),
        ("torn.pdb", "a torn line", 3),
        ("cation.pdb", "a molecule of charge +1", 1),
        ("type.mol2", "\".3\" is not the type of an atom", 22),
        ("ammonium.mol2", "a molecule of charge +1", 1),
        (
            "torn.mol2",
            "the record has 2 of 3 whole lines in its ATOM section",
            1,
        ),
        (
            "huge-count.mol2",
            "the record has 3 of 9999999999999999 whole lines in its ATOM section",
            1,
        ),
    ] {
        let message = refusal(name);
        assert!(message.starts_with(what), "{name}: {message}");
        assert!(
            message.contains(&format!("{name}:{line}")),
            "{name}: {message}"
        );
    }
}

#[test]
fn files_cut_or_mutated_anywhere_are_read_or_refused_without_a_panic() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for name in [
        "two-compounds.sdf",
        "two-models.pdb",
        "partial-charges.mol2",
    ] {
        let path = path(name);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            let _ = parse(&path, &whole[..length]);
        }
        for _ in 0..10_000 {
            let _ = parse(
                &path,
                &random.mutated(&whole, b"0123456789-+. \n@<>$MEHCON"),
            );
        }
    }
}
