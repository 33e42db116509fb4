//! PDB files: models apart, elements and charges from their columns before the library reads them.

use std::path::Path;

use super::Structure;
use super::chemfiles::{self, Format, Record};
use super::text::{Line, decode, lines};
use crate::error::{Error, Result};

/// Reads all models of a file.
pub fn parse(path: &Path, contents: &[u8]) -> Result<Vec<Structure>> {
    let text = decode(path, contents)?;
    let mut structures = Vec::new();
    for record in models(text) {
        let charge = check(path, record)?;
        for mut structure in chemfiles::parse(path, record, Format::Pdb)? {
            structure.charge = charge;
            structures.push(structure);
        }
    }
    Ok(structures)
}

/// Each model, from MODEL to ENDMDL; without such lines, the file as a whole.
fn models(text: &str) -> Vec<Record<'_>> {
    let mut models = Vec::new();
    let mut open = None;
    for line in lines(text) {
        let start = text.len() - line.bytes_left;
        if line.text.starts_with("MODEL ") {
            open = Some((line.number, start));
        } else if line.text.starts_with("ENDMDL")
            && let Some((number, from)) = open.take()
        {
            models.push(Record {
                line: number,
                text: &text[from..start + line.text.len()],
            });
        }
    }
    if let Some((number, from)) = open {
        models.push(Record {
            line: number,
            text: &text[from..],
        });
    }
    if models.is_empty() {
        vec![Record { line: 1, text }]
    } else {
        models
    }
}

/// Refuses lines of atoms that are torn or name no element; the total of the formal charges.
fn check(path: &Path, record: Record<'_>) -> Result<Option<i32>> {
    let mut total = None;
    let mut atoms = 0;
    for line in lines(record.text) {
        if !(line.text.starts_with("ATOM  ") || line.text.starts_with("HETATM")) {
            continue;
        }
        atoms += 1;
        let in_file = Line {
            number: record.line + line.number - 1,
            ..line
        };
        let fault = |error: Error| in_file.point(error, path, line.text.trim_end());
        if line.text.len() < 54 || !line.text.is_ascii() {
            return Err(fault(Error::input(
                "a torn line: an atom's coordinates end in column 54",
            )));
        }
        if column(line.text, 76..78).is_empty() {
            let error = Error::input("columns 77 and 78 name no element")
                .hint("have the program that wrote the file fill them, or convert it to XYZ");
            return Err(fault(error));
        }
        if !matches!(column(line.text, 16..17), "" | "A") {
            let error = Error::input("an alternative position of an atom")
                .hint("keep one position of every atom");
            return Err(fault(error));
        }
        if let Some(charge) = formal_charge(column(line.text, 78..80)) {
            total = Some(total.unwrap_or(0) + charge);
        }
    }
    if atoms == 0 {
        return Err(Error::input("there is no ATOM or HETATM line").at(path, record.line));
    }
    Ok(total)
}

/// Some columns of a line, trimmed; empty where the line is shorter.
fn column(line: &str, columns: std::ops::Range<usize>) -> &str {
    line.get(columns.start..columns.end.min(line.len()))
        .unwrap_or("")
        .trim()
}

/// A charge such as `1+` or `2-`.
fn formal_charge(field: &str) -> Option<i32> {
    let sign = match field.chars().last()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    field[..field.len() - 1]
        .parse::<i32>()
        .ok()
        .map(|size| sign * size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_are_digit_then_sign() {
        assert_eq!(formal_charge("1+"), Some(1));
        assert_eq!(formal_charge("2-"), Some(-2));
        for field in ["", "+", "0", "xx", "1"] {
            assert_eq!(formal_charge(field), None, "{field}");
        }
    }
}
