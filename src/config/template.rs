//! The config that `mdrun init` writes.

/// A config with every key, commented; it runs as it stands once its structure file is there.
pub fn init() -> &'static str {
    include_str!("template.toml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, schema};
    use std::path::Path;

    #[test]
    fn it_is_accepted_as_it_stands() {
        Config::parse(Path::new("init.toml"), init()).unwrap();
    }

    #[test]
    fn it_is_accepted_with_every_commented_key_switched_on_but_the_model_path() {
        let all: Vec<_> = init()
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(key) if key.contains(" = ") && !key.starts_with("path") => key,
                _ => line,
            })
            .collect();
        Config::parse(Path::new("init.toml"), &all.join("\n")).unwrap();
    }

    #[test]
    fn it_names_every_key() {
        for (table, key) in schema::keys() {
            let written = |line: &str| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{key} =")) || line.contains(&format!("[{key}]"))
            };
            assert!(init().lines().any(written), "[{table}] {key}");
        }
    }
}
