//! From config to plan: replicas and their identities, and what a resumed run must agree with.

#[path = "common/domain.rs"]
mod domain;

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::domain;
use mdrun::config::Config;
use mdrun::error::Result;
use mdrun::plan::{Overrides, Plan, name_hash};
use mdrun::replica::Replica;
use mdrun::structure::Domain;

const RUN: &str = "seed = 1\n[run]\nsteps = 1000\n";

/// The plan of a config that lies in tests/config/good.
fn plan(text: &str, overrides: &Overrides) -> Result<Plan> {
    let config = Config::parse(Path::new("tests/config/good/none.toml"), text)?;
    Plan::resolve(&config, overrides, &domain())
}

fn molecule(structure: &str, keys: &str) -> String {
    format!("[[molecule]]\nstructure = \"../structures/{structure}\"\n{keys}\n")
}

fn of<'a>(plan: &'a Plan, name: &str) -> Vec<&'a Replica> {
    let named = |replica: &&Replica| replica.id.name_hash == name_hash(name);
    plan.replicas.iter().filter(named).collect()
}

#[test]
fn a_replica_is_its_name_temperature_and_copy_whatever_else_runs() {
    let water = molecule("water.xyz", "replicas = 2\ntemperature_K = [300, 400]");
    let methane = molecule("methane.xyz", "replicas = 3");
    let alone = plan(&format!("{RUN}{water}"), &Overrides::default()).unwrap();
    let more = Overrides {
        replicas: Some(4),
        ..Overrides::default()
    };
    let among = plan(&format!("{RUN}{methane}{water}"), &more).unwrap();
    assert_eq!((alone.replicas.len(), among.replicas.len()), (4, 12));
    for replica in of(&alone, "water") {
        let twin = of(&among, "water")
            .into_iter()
            .find(|other| {
                (other.id.temperature, other.id.copy) == (replica.id.temperature, replica.id.copy)
            })
            .unwrap();
        assert_eq!(twin.parameters, replica.parameters);
        assert_eq!(twin.positions_ang, replica.positions_ang);
        assert_eq!((replica.id.molecule, twin.id.molecule), (0, 1));
    }
    let temperatures: Vec<_> = alone
        .replicas
        .iter()
        .map(|r| r.parameters.temperature_k)
        .collect();
    assert_eq!(temperatures, [300.0, 300.0, 400.0, 400.0]);
}

#[test]
fn the_limit_of_expected_errors_is_the_config_s_or_the_force_field_s() {
    let water = molecule("water.xyz", "");
    let limited = format!("{RUN}{water}[limits]\nforce_error_eV_per_ang = 0.1\n");
    let flag_above = |text: &str| {
        let plan = plan(text, &Overrides::default()).unwrap();
        plan.flag_above_ev_per_ang
    };
    let own = domain().force_error_ev_per_ang;
    assert_eq!(flag_above(&limited), Some(0.1));
    assert_eq!(flag_above(&format!("{RUN}{water}")), own);

    let silent = Domain {
        force_error_ev_per_ang: None,
        ..domain()
    };
    let resolve = |text: &str| {
        let config = Config::parse(Path::new("tests/config/good/none.toml"), text).unwrap();
        Plan::resolve(&config, &Overrides::default(), &silent)
    };
    let plan = resolve(&format!("{RUN}{water}")).unwrap();
    assert_eq!(plan.flag_above_ev_per_ang, None);
    let refused = resolve(&limited).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    let text = refused.to_string();
    assert!(
        text.contains("nothing about its own error") && text.contains("none.toml:"),
        "{text}"
    );
}

#[test]
fn copies_take_the_starts_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let frame = |z: f64| format!("2\n\nH 0 0 0\nH 0 0 {z}\n");
    std::fs::write(
        folder.path().join("h2.xyz"),
        frame(0.70) + &frame(0.74) + &frame(0.78),
    )
    .unwrap();
    let text = format!("{RUN}[[molecule]]\nstructure = \"h2.xyz\"\nreplicas = 5\n");
    let config = Config::parse(&folder.path().join("config.toml"), &text).unwrap();
    let plan = Plan::resolve(&config, &Overrides::default(), &domain()).unwrap();
    let starts: Vec<_> = plan
        .replicas
        .iter()
        .map(|replica| replica.positions_ang[1][2])
        .collect();
    assert_eq!(starts, [0.70, 0.74, 0.78, 0.70, 0.74]);
}

#[test]
fn compounds_of_one_file_become_molecules_named_by_title_or_number() {
    let text = format!("{RUN}{}", molecule("two-compounds.xyz", "name = \"mix\""));
    let plan = plan(&text, &Overrides::default()).unwrap();
    let names: Vec<_> = plan
        .system
        .molecules
        .iter()
        .map(|molecule| molecule.name.as_str())
        .collect();
    assert_eq!(names, ["water", "mix-2"]);
}

/// A search among all earlier names for each would take many times as long as the reading.
#[test]
fn the_last_of_thirty_thousand_names_is_compared_with_the_first() {
    let table = |name: &str| molecule("water.xyz", &format!("name = \"{name}\""));
    let head = format!("{RUN}{}", table("costarring"));
    let text = (1..30_000).fold(head, |text, n| text + &table(&format!("m{n}")));
    let many = plan(&text, &Overrides::default()).unwrap();
    assert_eq!(many.system.molecules.len(), 30_000);
    // The published collision of FNV-1a in 32 bits.
    let error = plan(&(text + &table("liquid")), &Overrides::default()).unwrap_err();
    assert!(
        error
            .what()
            .starts_with("the names costarring and liquid have the same hash"),
        "{error}"
    );
}

#[test]
fn the_command_line_goes_over_the_config() {
    let text = format!("{RUN}{}", molecule("water.xyz", "replicas = 2"));
    let overrides = Overrides {
        device: Some("cuda:3".parse().unwrap()),
        replicas: Some(5),
        steps: Some(7),
        out: Some(PathBuf::from("elsewhere")),
        max_walltime: Some("1h".parse().unwrap()),
        seed: Some(99),
    };
    let plan = plan(&text, &overrides).unwrap();
    assert_eq!((plan.replicas.len(), plan.steps), (5, 7));
    assert_eq!(plan.device.to_string(), "cuda:3");
    assert_eq!(plan.outputs.folder, Path::new("elsewhere"));
    assert_eq!(plan.walltime_max, Some(Duration::from_secs(3600)));
    // A seed from elsewhere counts only where the config has none.
    assert_eq!((plan.system.seed, plan.seed_drawn), (1, false));
}

#[test]
fn numbers_of_the_command_line_have_ranges_too() {
    let text = format!("{RUN}{}", molecule("water.xyz", ""));
    let zero = Overrides {
        steps: Some(0),
        ..Overrides::default()
    };
    let error = plan(&text, &zero).unwrap_err().to_string();
    assert_eq!(
        error,
        "--steps 0 is not possible: it must be a whole number from 1 to 1_000_000_000_000"
    );
    let many = Overrides {
        replicas: Some(u32::MAX),
        ..Overrides::default()
    };
    assert_eq!(plan(&text, &many).unwrap_err().exit_code(), 2);
}

#[test]
fn a_seed_is_drawn_only_where_none_is_known() {
    let text = format!("[run]\nsteps = 10\n{}", molecule("water.xyz", ""));
    assert!(plan(&text, &Overrides::default()).unwrap().seed_drawn);
    let known = Overrides {
        seed: Some(5),
        ..Overrides::default()
    };
    let plan = plan(&text, &known).unwrap();
    assert_eq!((plan.system.seed, plan.seed_drawn), (5, false));
}

#[test]
fn more_replicas_than_fit_into_memory_are_an_error_before_any_is_made() {
    let list = (1..=256)
        .map(|k| k.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let keys = format!("replicas = 16_777_216\ntemperature_K = [{list}]");
    let text = format!("{RUN}{}", molecule("water.xyz", &keys));
    let error = plan(&text, &Overrides::default()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(
        error.to_string().contains("4294967296 replicas need"),
        "{error}"
    );
}

#[test]
fn heavy_hydrogens_keep_the_total_mass() {
    let total = |keys: &str| {
        let text = format!("{RUN}[dynamics]\n{keys}\n{}", molecule("methane.xyz", ""));
        let plan = plan(&text, &Overrides::default()).unwrap();
        let masses_amu = plan.system.molecules[0].masses_amu.clone();
        (masses_amu.iter().sum::<f64>(), masses_amu[1])
    };
    let (natural, light) = total("");
    let (repartitioned, heavy) = total("hydrogen_mass_amu = 2.5");
    assert!((natural - repartitioned).abs() < 1e-12);
    assert!((light, heavy) == (1.008, 2.5));
}

#[test]
fn settings_differ_by_what_decides_the_results_and_by_nothing_else() {
    let config = |run: &str, rest: &str| {
        format!(
            "seed = 1\n[run]\nsteps = 1000\n{run}\n{}\n{rest}\n",
            molecule("water.xyz", "replicas = 2")
        )
    };
    let settings = |text: &str| plan(text, &Overrides::default()).unwrap().settings;
    let base = settings(&config("", ""));
    let changed = |text: &str| {
        let other = settings(text);
        let mut keys: Vec<String> = Vec::new();
        for (key, value) in base.iter().chain(&other) {
            let differs = !(base.contains(&(key.clone(), value.clone()))
                && other.contains(&(key.clone(), value.clone())));
            if differs && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys.join(", ")
    };
    for free in ["max_walltime = 5", "device = \"cpu\"", "out = \"x\""] {
        assert_eq!(changed(&config(free, "")), "", "{free}");
    }
    assert_eq!(changed(&config("", "[checkpoint]\nevery_minutes = 1")), "");
    assert_eq!(
        changed(&config("", "").replace("steps = 1000", "steps = 2000")),
        ""
    );
    assert_eq!(
        changed(&config("timestep_fs = 0.25", "")),
        "run.timestep_fs"
    );
    assert_eq!(
        changed(&config("", "").replace("replicas = 2", "replicas = 3")),
        "molecule.water.replicas"
    );
    assert_eq!(
        changed(&config("", "[output]\nframes_every = 7")),
        "output.frames_every"
    );
    assert_eq!(
        changed(&config("", "[dynamics]\nfriction_per_ps = 2")),
        "molecule.water.friction_per_ps"
    );
    assert_eq!(
        changed(&config("", "[dynamics]\nhydrogen_mass_amu = 2")),
        "molecule.water.masses_amu"
    );
    assert_eq!(
        changed(&config("", "").replace("seed = 1\n", "seed = 2\n")),
        "seed"
    );
}

#[test]
fn friction_is_the_molecules_own_else_the_common_one_and_none_in_nve() {
    let friction = |dynamics: &str, keys: &str| {
        let text = format!(
            "{RUN}[dynamics]\n{dynamics}\n{}",
            molecule("water.xyz", keys)
        );
        plan(&text, &Overrides::default()).unwrap().replicas[0]
            .parameters
            .friction_per_fs
    };
    let found = [
        friction("", ""),
        friction("friction_per_ps = 5", ""),
        friction("friction_per_ps = 5", "friction_per_ps = 20"),
        friction("scheme = \"nve\"", ""),
    ];
    assert_eq!(
        found.map(f64::to_bits),
        [0.001, 0.005, 0.02, 0.0].map(f64::to_bits)
    );
}
