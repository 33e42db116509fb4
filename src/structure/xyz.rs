//! XYZ and extXYZ: a count, a comment, and one line an atom; frames follow each other.
//!
//! No count is believed before its lines are seen: what is held follows the lines that are there,
//! 25 bytes for each atom and a few words for each frame.

use std::path::Path;

use super::Structure;
use super::extended::{Columns, pairs, value};
use super::text::{Line, decode, lines};
use crate::elements;
use crate::error::{Error, Result};

/// The shortest line of an atom, `H 0 0 0` and its end.
const ATOM_LINE_BYTES_MIN: usize = 8;

/// Reads all frames of `contents`; `path` only appears in messages.
pub fn parse_xyz(path: &Path, contents: &[u8]) -> Result<Vec<Structure>> {
    let text = decode(path, contents)?;
    let mut lines = lines(text);
    let mut structures = Vec::new();
    while let Some(head) = lines.next() {
        if head.text.trim().is_empty() {
            continue;
        }
        structures.push(frame(path, head, &mut lines)?);
    }
    Ok(structures)
}

/// One frame, whose first line was `head`.
fn frame<'a>(
    path: &Path,
    head: Line<'a>,
    lines: &mut impl Iterator<Item = Line<'a>>,
) -> Result<Structure> {
    let count = count(path, head)?;
    let torn = |found: usize| {
        let promised = head.text.trim();
        let what = format!("the file ends after {found} of the {promised} atoms of this frame");
        head.point(Error::input(what), path, promised)
    };
    let comment = lines.next().ok_or_else(|| torn(0))?;
    let mut structure = described(path, comment)?;
    structure.line = head.number;
    structure.first_atom_line = Some(comment.number + 1);
    let columns = columns(path, comment)?;
    let capacity = count.min(comment.bytes_left / ATOM_LINE_BYTES_MIN + 1);
    structure.numbers.reserve_exact(capacity);
    structure.positions_ang.reserve_exact(capacity);
    for index in 0..count {
        let line = lines.next().ok_or_else(|| torn(index))?;
        let (number, position_ang) = atom(path, line, columns)?;
        structure.numbers.push(number);
        structure.positions_ang.push(position_ang);
    }
    Ok(structure)
}

fn count(path: &Path, head: Line<'_>) -> Result<usize> {
    let text = head.text.trim();
    let error = match text.parse::<i128>() {
        Ok(0) => Error::input("a frame without atoms"),
        Ok(count) if count < 0 => Error::input(format!("a frame of {count} atoms")),
        Ok(count) => return Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        Err(_) => Error::input("here should stand the number of atoms of a frame")
            .hint("a frame is the number of atoms, a comment line, and one line for each atom"),
    };
    Err(head.point(error, path, text))
}

/// What the comment line says of the frame as a whole.
fn described(path: &Path, comment: Line<'_>) -> Result<Structure> {
    let said = |keys: &[&str]| value(comment.text, keys);
    if let Some(periodic) = said(&["pbc"]).filter(|pbc| pbc.contains(['T', 't', '1'])) {
        let error = Error::input("a periodic structure: only free molecules can be run")
            .hint("if the box does not matter, write pbc=\"F F F\"");
        return Err(comment.point(error, path, periodic));
    }
    let charge =
        said(&["charge", "total_charge"]).map(|charge| whole_charge(path, comment, charge));
    let title = match said(&["name", "title"]) {
        Some(name) => name,
        None if pairs(comment.text).next().is_none() => comment.text.trim(),
        None => "",
    };
    Ok(Structure {
        title: title.to_owned(),
        charge: charge.transpose()?,
        ..Structure::default()
    })
}

fn whole_charge(path: &Path, comment: Line<'_>, written: &str) -> Result<i32> {
    let number = written.parse::<f64>().ok();
    let whole = number.filter(|charge| charge.fract() == 0.0 && charge.abs() <= 1000.0);
    whole.map(|charge| charge as i32).ok_or_else(|| {
        let error = Error::input(format!("a charge of \"{written}\" is not a whole number"));
        comment.point(error, path, written)
    })
}

fn columns(path: &Path, comment: Line<'_>) -> Result<Columns> {
    let Some(properties) = value(comment.text, &["properties"]) else {
        return Ok(Columns::PLAIN);
    };
    Columns::parse(properties).map_err(|what| {
        let error = Error::input(format!("Properties: {what}"))
            .hint("for example Properties=species:S:1:pos:R:3");
        comment.point(error, path, properties)
    })
}

/// Atomic number and position, Å, of one line.
fn atom(path: &Path, line: Line<'_>, columns: Columns) -> Result<(u8, [f64; 3])> {
    let mut number = None;
    let mut position_ang = [0.0; 3];
    let mut found = 0;
    for (column, field) in line
        .text
        .split_ascii_whitespace()
        .take(columns.count)
        .enumerate()
    {
        found += 1;
        if column == columns.element {
            number = Some(element(path, line, field)?);
        } else if let Some(axis) = column
            .checked_sub(columns.position)
            .filter(|axis| *axis < 3)
        {
            position_ang[axis] = coordinate(path, line, field)?;
        }
    }
    match number {
        Some(number) if found == columns.count => Ok((number, position_ang)),
        _ => {
            let error = Error::input(format!(
                "{found} columns where an atom needs {}",
                columns.count
            ));
            Err(line.point(error, path, line.text.trim()))
        }
    }
}

fn element(path: &Path, line: Line<'_>, field: &str) -> Result<u8> {
    // Every hydrogen would get the natural mass, so an isotope must not pass as one.
    if field.eq_ignore_ascii_case("D") || field.eq_ignore_ascii_case("T") {
        let error = Error::input(format!("the isotope {field}: all masses are natural ones"));
        return Err(line.point(error.hint("write H"), path, field));
    }
    let number = match field.parse::<u8>() {
        Ok(number) => Some(number).filter(|number| (1..=118).contains(number)),
        Err(_) => elements::number(field),
    };
    number.ok_or_else(|| {
        let error = Error::input(format!(
            "\"{field}\" is neither an element nor an atomic number"
        ));
        line.point(error, path, field)
    })
}

fn coordinate(path: &Path, line: Line<'_>, field: &str) -> Result<f64> {
    // Fortran programs write exponents with a D.
    let value = field
        .parse()
        .or_else(|_| field.replace(['d', 'D'], "e").parse::<f64>());
    let what = match value {
        Ok(value) if value.is_finite() => return Ok(value),
        Ok(_) => format!("a coordinate that is not finite, {field}"),
        Err(_) => format!("\"{field}\" is not a coordinate"),
    };
    Err(line.point(Error::input(what), path, field))
}
