//! Every folder of inputs/ runs as it stands, for a few steps.

use std::path::Path;

use crate::Scene;

#[test]
fn every_folder_runs() {
    let scene = Scene::new();
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs");
    let mut ran = 0;
    for entry in std::fs::read_dir(inputs).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            folder.join("README.md").exists(),
            "{name} does not say what to expect"
        );
        if cfg!(not(feature = "chemfiles")) && name == "mixed" {
            println!("SKIPPED inputs/mixed: this build reads no SDF");
            continue;
        }
        let config = folder.join("config.toml");
        scene.expect(
            0,
            &[config.to_str().unwrap(), "--out", &name, "--steps", "20"],
        );
        assert!(scene.path(&name).join("log.csv").exists());
        ran += 1;
    }
    assert!(ran >= 4);
}
