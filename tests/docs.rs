//! What the documents name is there: paths in backticks, links, and every key of the config.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(document: &str) -> String {
    let path = root().join(document);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words of all code in a Markdown text, in backticks or between fences.
fn words_of_code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .flat_map(str::split_whitespace)
}

/// Whether a word of code is a path of this repository: it has a slash, and is neither a pattern, an
/// absolute path, nor something that a build or a run makes.
fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let is_made = word.starts_with("target/") || word.contains(".out/");
    word.contains('/') && word.chars().all(plain) && !word.starts_with('/') && !is_made
}

#[test]
fn every_path_in_backticks_exists() {
    let mut checked = 0;
    for document in ["README.md", "ARCHITECTURE.md", "kernels/README.md"] {
        if document == "kernels/README.md" && !root().join(document).exists() {
            continue;
        }
        let text = read(document);
        // Fences are three backticks: as pairs they would swallow every other block.
        let text = text.replace("```", "`");
        for path in words_of_code(&text).filter(|word| is_path(word)) {
            assert!(
                root().join(path).exists(),
                "{document} names {path}, which is not there"
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} paths were found");
}

/// The targets of a Markdown text's links, without those of the web and within the page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#'))
}

/// All Markdown files of a folder and the folders in it.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let visible = entries.filter(|path| {
        !path
            .file_name()
            .unwrap()
            .as_encoded_bytes()
            .starts_with(b".")
    });
    let (folders, files): (Vec<_>, Vec<_>) = visible.partition(|path| path.is_dir());
    let mut found: Vec<PathBuf> = folders.iter().flat_map(|path| documents(path)).collect();
    found.extend(
        files
            .into_iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "md")),
    );
    found
}

#[test]
fn every_link_leads_to_a_file() {
    let mut all: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
        .map(|name| root().join(name))
        .into();
    for folder in ["docs", "models", "inputs", "distill"] {
        all.extend(documents(&root().join(folder)));
    }
    for document in all {
        let text = fs::read_to_string(&document).unwrap();
        for target in links(&text) {
            let file = target.split('#').next().unwrap();
            assert!(
                document.parent().unwrap().join(file).exists(),
                "{} links to {target}, which is not there",
                document.display()
            );
        }
    }
}

/// The properties of a table of the schema, or of each of an array of tables.
fn properties(of: &serde_json::Value) -> Vec<(&String, &serde_json::Value)> {
    let inside_option = of["anyOf"].get(0).unwrap_or(of);
    let each = inside_option.get("items").unwrap_or(inside_option);
    each["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn the_guide_has_every_key_of_the_config() {
    let guide = read("docs/guide.md");
    let schema: serde_json::Value = serde_json::from_str(&mdrun::config::schema()).unwrap();
    for (name, table) in properties(&schema) {
        for (key, _) in properties(table) {
            let row = format!("| `{key}` |");
            let (_, section) = guide
                .split_once(&format!("[{name}]"))
                .unwrap_or_else(|| panic!("the guide has no [{name}]"));
            assert!(section.contains(&row), "the guide lacks {key} of [{name}]");
        }
        if properties(table).is_empty() {
            assert!(guide.contains(&format!("| `{name}` |")), "no {name}");
        }
    }
}
