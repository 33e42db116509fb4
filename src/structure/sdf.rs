//! SDF and MOL files: records checked line by line before the library reads them.
//!
//! What the library does not see is taken from here: `M  CHG` charges, isotopes, a torn record.

use std::path::Path;

use super::Structure;
use super::chemfiles::{self, Format, Record};
use super::text::{Line, decode, lines};
use crate::error::{Error, Result};

/// Lines before the first atom: title, program, comment, counts.
const HEAD_LINES: usize = 4;

/// Reads all records of a file.
pub fn parse(path: &Path, contents: &[u8]) -> Result<Vec<Structure>> {
    let text = decode(path, contents)?;
    let mut structures = Vec::new();
    for record in records(text) {
        let charge = check(path, record)?;
        for mut structure in chemfiles::parse(path, record, Format::Sdf)? {
            structure.charge = charge.or(structure.charge);
            structure.first_atom_line = Some(record.line + HEAD_LINES);
            structures.push(structure);
        }
    }
    Ok(structures)
}

/// The records, each with its closing `$$$$`; what is blank after the last one is none.
fn records(text: &str) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    let (mut start, mut first_line) = (0, 1);
    for line in lines(text) {
        if line.text.starts_with("$$$$") {
            let end = text.len() - line.bytes_left + line.text.len();
            records.push(Record {
                line: first_line,
                text: &text[start..end],
            });
            start = end + text[end..].find('\n').map_or(0, |newline| newline + 1);
            first_line = line.number + 1;
        }
    }
    if !text[start..].trim().is_empty() {
        records.push(Record {
            line: first_line,
            text: &text[start..],
        });
    }
    records
}

/// Refuses a record that is torn or says what cannot be run; the total of its `M  CHG` lines.
fn check(path: &Path, record: Record<'_>) -> Result<Option<i32>> {
    let lines: Vec<Line<'_>> = lines(record.text).collect();
    let at = |line: &Line<'_>, error: Error| {
        let in_file = Line {
            number: record.line + line.number - 1,
            ..*line
        };
        in_file.point(error, path, line.text.trim_end())
    };
    let torn = |what: &str| Error::input(format!("the record ends {what}")).at(path, record.line);
    let counts = lines.get(3).ok_or_else(|| torn("before its counts line"))?;
    if counts.text.contains("V3000") {
        let error = Error::input("a V3000 record").hint("save it as V2000");
        return Err(at(counts, error));
    }
    // The second line says what drew it: columns 21 and 22 are 2D or 3D.
    if lines[1].text.get(20..22) == Some("2D") {
        let error = Error::input("a flat drawing of a molecule, not its structure")
            .hint("let the program that drew it make 3D coordinates, with all hydrogen atoms");
        return Err(at(&lines[1], error));
    }
    let count = |from: usize| {
        let field = counts
            .text
            .get(from..from + 3)
            .and_then(|field| field.trim().parse::<usize>().ok());
        field.ok_or_else(|| {
            at(
                counts,
                Error::input("here should stand the numbers of atoms and bonds"),
            )
        })
    };
    let (atoms, bonds) = (count(0)?, count(3)?);
    let end = HEAD_LINES + atoms + bonds;
    if lines.len() < end
        || !lines[end..]
            .iter()
            .any(|line| line.text.starts_with("M  END"))
    {
        return Err(torn(&format!(
            "before the last of its {atoms} atoms and {bonds} bonds, or without M  END"
        )));
    }
    for line in &lines[HEAD_LINES + atoms..end] {
        for field in [line.text.get(..3), line.text.get(3..6)] {
            let atom = field.and_then(|field| field.trim().parse::<usize>().ok());
            if !atom.is_some_and(|atom| (1..=atoms).contains(&atom)) {
                return Err(at(
                    line,
                    Error::input("a bond of an atom that is not there"),
                ));
            }
        }
    }
    properties(&lines[end..], &at)
}

/// The sum of charges in `M  CHG` lines, which replace those of the atoms' lines.
fn properties(lines: &[Line<'_>], at: &impl Fn(&Line<'_>, Error) -> Error) -> Result<Option<i32>> {
    let mut total = None;
    for line in lines
        .iter()
        .take_while(|line| !line.text.starts_with("M  END"))
    {
        if line.text.starts_with("M  ISO") {
            let error = Error::input("an isotope: all masses are natural ones");
            return Err(at(line, error.hint("remove the M  ISO line")));
        }
        let Some(entries) = line.text.strip_prefix("M  CHG") else {
            continue;
        };
        // The number of entries, then pairs of an atom and its charge.
        for charge in entries.split_ascii_whitespace().skip(2).step_by(2) {
            let charge = charge.parse::<i16>();
            let charge =
                charge.map_err(|_| at(line, Error::input("a charge that is no number")))?;
            total = Some(total.unwrap_or(0_i32).saturating_add(i32::from(charge)));
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_lines() {
        let text = "a\n\n\n$$$$\nb\r\n$$$$\r\n\nrest\n";
        let found: Vec<_> = records(text)
            .into_iter()
            .map(|r| (r.line, r.text))
            .collect();
        assert_eq!(
            found,
            [(1, "a\n\n\n$$$$"), (5, "b\r\n$$$$"), (7, "\nrest\n")]
        );
        assert!(records("a\n$$$$\n\n \n").len() == 1);
    }
}
