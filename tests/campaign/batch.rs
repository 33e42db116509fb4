//! A replica's bits depend neither on its batch nor on the threads.

use std::collections::BTreeMap;

use crate::{Scene, assert_same};

const METHANE_ALONE: &str = r#"
seed = 9
[run]
steps = 400
[[molecule]]
structure = "methane.xyz"
replicas = 1
temperature_K = 350
[output]
frames_every = 20
xyz = true
"#;

const IN_COMPANY: &str = r#"
seed = 9
[run]
steps = 400
[[molecule]]
structure = "water.xyz"
replicas = 5
temperature_K = [100, 600]
[[molecule]]
structure = "methane.xyz"
replicas = 12
temperature_K = [350, 450]
[output]
frames_every = 20
xyz = true
"#;

/// The trajectories of methane's first replica.
fn methane(scene: &Scene, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut results = scene.results(folder);
    results.retain(|name, _| name.starts_with("methane-T0-0000."));
    assert_eq!(results.len(), 2);
    results
}

#[test]
fn alone_in_company_and_with_any_number_of_threads() {
    let scene = Scene::new();
    scene.write("alone.toml", METHANE_ALONE);
    scene.write("company.toml", IN_COMPANY);
    for threads in ["1", "2", "5"] {
        let run = |config: &str, folder: &str| {
            let mut command = scene.command(&[config, "--out", folder]);
            let output = command.env("RAYON_NUM_THREADS", threads).output();
            assert!(output.unwrap().status.success());
        };
        // Alone it has all threads for itself, which then share its atoms.
        let alone = format!("alone{threads}");
        run("alone.toml", &alone);
        run("company.toml", threads);
        assert_same(&scene.results("alone1"), &scene.results(&alone));
        assert_same(&methane(&scene, &alone), &methane(&scene, threads));
        assert_same(&scene.results("1"), &scene.results(threads));
    }
}

#[test]
fn more_copies_change_no_copy() {
    let scene = Scene::new();
    scene.write("company.toml", IN_COMPANY);
    scene.expect(0, &["company.toml", "--out", "nine"]);
    scene.expect(0, &["company.toml", "--out", "five", "--replicas", "5"]);
    let mut nine = scene.results("nine");
    let mut five = scene.results("five");
    nine.retain(|name, _| five.contains_key(name) && !name.starts_with(['c', 'l']));
    five.retain(|name, _| nine.contains_key(name));
    assert!(five.len() > 30);
    assert_same(&nine, &five);
}
