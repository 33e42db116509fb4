//! From a text to typed tables, or to one diagnostic that points at the fault.
//!
//! Serde knows what is wrong but speaks of Rust's types; this says it in the words of the file.

use std::ops::Range as Span;
use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, Deserializer};

use super::{Config, range, suggest};
use crate::error::{Error, Result};

/// A key and the table it is in ("" is the top of the file).
struct Key {
    table: String,
    name: String,
}

/// Reads the typed tables.
pub fn deserialize(path: &Path, text: &str) -> Result<Config> {
    let document = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        Error::input(format!("this is not TOML: {}", error.message())).at_span(path, text, span)
    })?;
    if let Some(refusal) = range::check(document.get_ref()) {
        let error = Error::input(refusal.what).at_span(path, text, refusal.span);
        return Err(match refusal.hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    let tables = document.get_ref().clone();
    Config::deserialize(Deserializer::from(document)).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let key = find_key(&tables, &span);
        let (what, hint) = explain(error.message(), &key);
        let error = Error::input(what);
        // A table that lacks a key has nothing to underline but its head.
        let error = if span.is_empty() {
            error.at(path, 0)
        } else {
            error.at_span(path, text, first_line(text, span))
        };
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

fn first_line(text: &str, span: Span<usize>) -> Span<usize> {
    let end = text[span.clone()]
        .find('\n')
        .map_or(span.end, |newline| span.start + newline);
    span.start..end
}

/// The fault in words, and the way out.
fn explain(message: &str, key: &Key) -> (String, Option<String>) {
    let Key { table, name } = key;
    if let Some(unknown) = quoted_after(message, "unknown field ") {
        let what = match table.as_str() {
            "" => format!("unknown key `{unknown}`"),
            "molecule" => format!("unknown key `{unknown}` in [[molecule]]"),
            _ => format!("unknown key `{unknown}` in [{table}]"),
        };
        return (what, Some(suggest::hint(table, unknown)));
    }
    if let Some(missing) = quoted_after(message, "missing field ") {
        return explain_missing(missing, name);
    }
    if let Some(unknown) = quoted_after(message, "unknown variant ") {
        let words: Vec<_> = message.split('`').skip(3).step_by(2).collect();
        let hint = match suggest::nearest_word(unknown, words.iter().copied()) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => format!("there are {}", words.join(" and ")),
        };
        return (format!("{name} cannot be \"{unknown}\""), Some(hint));
    }
    if let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        let hint = (name == "molecule").then(|| "write [[molecule]]".to_owned());
        let what = format!("{name} must be {}, not {}", plain(expected), plain(found));
        return (what, hint);
    }
    (format!("{name}: {message}"), None)
}

fn explain_missing(missing: &str, table: &str) -> (String, Option<String>) {
    match missing {
        "run" => (
            "there is no [run] table".to_owned(),
            Some("add [run] with steps = 10_000; `mdrun init` writes a whole config".to_owned()),
        ),
        "molecule" => (
            "there is no [[molecule]] table: nothing would run".to_owned(),
            Some("add [[molecule]] with structure = \"molecule.xyz\"".to_owned()),
        ),
        "steps" => (
            "[run] lacks steps".to_owned(),
            Some("add steps = 10_000".to_owned()),
        ),
        "structure" => (
            "[[molecule]] lacks structure".to_owned(),
            Some("add structure = \"molecule.xyz\"".to_owned()),
        ),
        _ => (format!("[{table}] lacks {missing}"), None),
    }
}

/// The word in backticks right after `start`.
fn quoted_after<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message
        .strip_prefix(start)?
        .strip_prefix('`')?
        .split('`')
        .next()
}

/// Serde's name of a type or value, in plain words.
fn plain(words: &str) -> String {
    match words {
        "f64" => "a number".to_owned(),
        "u64" | "u32" | "i32" => "a whole number".to_owned(),
        "a string" | "path string" | "string or table" => "text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list of tables, [[…]]".to_owned(),
        "sequence" => "a list".to_owned(),
        _ if words == "map" || words.starts_with("struct ") => "a table".to_owned(),
        _ => words
            .strip_prefix("string ")
            .unwrap_or(words)
            .replace('`', "")
            .replace("floating point ", "")
            .replace("integer ", "")
            .replace("boolean ", ""),
    }
}

/// The key whose name or value holds a span; for a table's own span, the table.
fn find_key(document: &DeTable<'_>, span: &Span<usize>) -> Key {
    let inside = |outer: Span<usize>| outer.start <= span.start && span.end <= outer.end;
    let find = |table: &DeTable<'_>| {
        table.iter().find_map(|(key, value)| {
            (inside(key.span()) || inside(value.span())).then(|| key.get_ref().to_string())
        })
    };
    for (name, value) in document {
        let table = name.get_ref().to_string();
        let inner = match value.get_ref() {
            DeValue::Table(inner) => find(inner),
            DeValue::Array(list) => list
                .iter()
                .filter_map(|entry| entry.get_ref().as_table())
                .find_map(find),
            _ => None,
        };
        if let Some(name) = inner {
            return Key { table, name };
        }
    }
    Key {
        table: String::new(),
        name: find(document).unwrap_or_default(),
    }
}
