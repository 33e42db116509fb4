//! The one error type: what went wrong, where in the user's files, and the way out.
//!
//! An error is made where the fault is found and only gains a place or a hint on its way up; it is
//! printed once, by `main`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of fault it is; this decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the user wrote cannot be run (exit code 2).
    Input,
    /// The machine failed while running: disk, a damaged file, a device that cannot be used (exit code 1).
    Run,
    /// A device failed: a campaign in which it had made steps can go on from a checkpoint (exit code 1 elsewhere).
    Device,
}

/// A position in a text file of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 means the file as a whole.
    pub line: usize,
    /// The faulty line's text, and the columns (in characters, from 0) to underline.
    pub excerpt: Option<(String, std::ops::Range<usize>)>,
}

/// An error with everything its reader needs.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    place: Option<Box<Place>>,
    hint: Option<String>,
}

impl Error {
    /// Something in the input that cannot be run.
    pub fn input(what: impl Into<String>) -> Self {
        Self {
            kind: Kind::Input,
            what: what.into(),
            place: None,
            hint: None,
        }
    }

    /// A failure of the machine at run time.
    pub fn run(what: impl Into<String>) -> Self {
        Self {
            kind: Kind::Run,
            what: what.into(),
            place: None,
            hint: None,
        }
    }

    /// A failure of a device.
    pub fn device(what: impl Into<String>) -> Self {
        Self {
            kind: Kind::Device,
            ..Self::run(what)
        }
    }

    /// A failed operation on a file: `Error::io("write", path, &source)`.
    pub fn io(action: &str, path: &Path, source: &std::io::Error) -> Self {
        Self::run(format!("cannot {action} {}: {source}", path.display()))
    }

    /// Says where: a file, and a line counted from 1 (0 for the file as a whole).
    #[must_use]
    pub fn at(mut self, path: &Path, line: usize) -> Self {
        self.place = Some(Box::new(Place {
            path: path.to_owned(),
            line,
            excerpt: None,
        }));
        self
    }

    /// Says where, as the byte range `span` of `text`, the contents of `path`.
    #[must_use]
    pub fn at_span(mut self, path: &Path, text: &str, span: std::ops::Range<usize>) -> Self {
        let start = span.start.min(text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        let line = text[line_start..line_end].trim_end_matches('\r').to_owned();
        let column = text[line_start..start].chars().count();
        let end = span.end.clamp(start, line_end.max(start));
        let width = text[start..end].trim_end().chars().count().max(1);
        self.place = Some(Box::new(Place {
            path: path.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            excerpt: Some(window(&line, column..column + width)),
        }));
        self
    }

    /// Says where, as bytes `span` of one line's text.
    #[must_use]
    pub fn at_excerpt(
        self,
        path: &Path,
        line: usize,
        text: &str,
        span: std::ops::Range<usize>,
    ) -> Self {
        let mut error = self.at_span(path, text, span);
        if let Some(place) = &mut error.place {
            place.line = line;
        }
        error
    }

    /// The way out, in one clause.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// 2 for bad input, 1 for a failure at run time.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Input => 2,
            Kind::Run | Kind::Device => 1,
        }
    }

    /// Whether it is a device that failed.
    pub fn is_of_a_device(&self) -> bool {
        self.kind == Kind::Device
    }

    /// What went wrong, without its place and hint.
    pub fn what(&self) -> &str {
        &self.what
    }
}

/// The part of a line around `columns` that fits a terminal, and the columns within it.
fn window(line: &str, columns: std::ops::Range<usize>) -> (String, std::ops::Range<usize>) {
    const WIDTH_MAX: usize = 100;
    const BEFORE: usize = 30;
    let length = line.chars().count();
    if length <= WIDTH_MAX {
        return (line.to_owned(), columns);
    }
    let start = columns.start.saturating_sub(BEFORE);
    let shown = line.chars().skip(start).take(WIDTH_MAX).collect::<String>();
    let left = if start > 0 { "…" } else { "" };
    let right = if start + WIDTH_MAX < length {
        "…"
    } else {
        ""
    };
    let shift = start - left.chars().count();
    let end = columns.end.min(start + WIDTH_MAX);
    (
        format!("{left}{shown}{right}"),
        columns.start - shift..end - shift,
    )
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(place) = &self.place {
            write!(f, "\n  --> {}", place.path.display())?;
            if place.line > 0 {
                write!(f, ":{}", place.line)?;
            }
            if let Some((text, columns)) = &place.excerpt {
                let number = place.line.to_string();
                let margin = " ".repeat(number.len());
                let indent = " ".repeat(columns.start);
                let carets = "^".repeat(columns.len());
                write!(
                    f,
                    "\n {margin} |\n {number} | {text}\n {margin} | {indent}{carets}"
                )?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
