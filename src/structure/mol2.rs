//! MOL2 files: records with their counts checked before the library believes them.

use std::path::Path;

use super::Structure;
use super::chemfiles::{self, Format, Record};
use super::text::{Line, decode, lines};
use crate::error::{Error, Result};

const START: &str = "@<TRIPOS>MOLECULE";

/// Reads all records of a file.
pub fn parse(path: &Path, contents: &[u8]) -> Result<Vec<Structure>> {
    let text = decode(path, contents)?;
    let mut structures = Vec::new();
    for record in records(text) {
        check(path, record)?;
        structures.extend(chemfiles::parse(path, record, Format::Mol2)?);
    }
    Ok(structures)
}

/// The records; what stands before the first is a comment.
fn records(text: &str) -> Vec<Record<'_>> {
    let starts: Vec<_> = lines(text)
        .filter(|line| line.text.starts_with(START))
        .map(|line| (line.number, text.len() - line.bytes_left))
        .collect();
    let ends = starts
        .iter()
        .skip(1)
        .map(|(_, start)| *start)
        .chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|((line, start), end)| Record {
            line: *line,
            text: &text[*start..end],
        })
        .collect()
}

/// Refuses a record that is shorter than its counts say.
fn check(path: &Path, record: Record<'_>) -> Result<()> {
    let lines: Vec<Line<'_>> = lines(record.text).collect();
    let torn = |what: String| Error::input(format!("the record {what}")).at(path, record.line);
    let counts = lines
        .get(2)
        .ok_or_else(|| torn("ends before its counts".to_owned()))?;
    let mut fields = counts
        .text
        .split_ascii_whitespace()
        .map(str::parse::<usize>);
    let Some(Ok(atoms)) = fields.next() else {
        return Err(torn("does not say how many atoms it has".to_owned()));
    };
    let bonds = fields.next().and_then(std::result::Result::ok).unwrap_or(0);
    for (section, count, columns) in [("ATOM", atoms, 6), ("BOND", bonds, 4)] {
        let found = entries(&lines, section, columns);
        if found < count {
            let what = format!("has {found} of {count} whole lines in its {section} section");
            return Err(torn(what));
        }
    }
    check_types(path, record, &lines)
}

/// Refuses atoms whose type, such as `C.ar`, starts with no element: the library does not survive
/// a lone dot.
fn check_types(path: &Path, record: Record<'_>, lines: &[Line<'_>]) -> Result<()> {
    for line in section(lines, "ATOM") {
        let Some(kind) = line.text.split_ascii_whitespace().nth(5) else {
            continue;
        };
        if !kind.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let in_file = Line {
                number: record.line + line.number - 1,
                ..*line
            };
            let error = Error::input(format!("\"{kind}\" is not the type of an atom"));
            return Err(in_file.point(error, path, kind));
        }
    }
    Ok(())
}

/// How many lines a section has that are not torn.
fn entries(lines: &[Line<'_>], name: &str, columns: usize) -> usize {
    let is_whole = |line: &&Line<'_>| line.text.split_ascii_whitespace().count() >= columns;
    section(lines, name).take_while(is_whole).count()
}

/// The lines of all sections of a name; the library reads each of them.
fn section<'a>(lines: &'a [Line<'a>], name: &str) -> impl Iterator<Item = &'a Line<'a>> {
    let head = format!("@<TRIPOS>{name}");
    let mut inside = false;
    lines.iter().filter(move |line| {
        let was_inside = inside;
        if line.text.starts_with('@') {
            inside = line.text.trim() == head;
        }
        was_inside && inside && !line.text.starts_with('@')
    })
}
