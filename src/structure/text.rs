//! Lines of a text file with their numbers, for readers that report where a fault is.

use std::path::Path;

use crate::error::{Error, Result};

/// A line without its end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Counted from 1.
    pub number: usize,
    /// What is on it.
    pub text: &'a str,
    /// Bytes of the file from its start to the file's end.
    pub bytes_left: usize,
}

/// The text of a file, without a byte-order mark.
pub fn decode<'a>(path: &Path, contents: &'a [u8]) -> Result<&'a str> {
    let contents = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents);
    std::str::from_utf8(contents).map_err(|error| {
        let before = &contents[..error.valid_up_to()];
        let line = String::from_utf8_lossy(before).matches('\n').count() + 1;
        let unicode_16 = contents.starts_with(&[0xff, 0xfe]) || contents.starts_with(&[0xfe, 0xff]);
        let what = if unicode_16 {
            "the file is UTF-16"
        } else {
            "this line is not UTF-8 text"
        };
        Error::input(what)
            .at(path, line)
            .hint("save the file as plain text in UTF-8")
    })
}

/// All lines of a text; both LF and CRLF end one.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    text.split_inclusive('\n')
        .enumerate()
        .map(move |(index, whole)| {
            let bytes_left = text.len() - start;
            start += whole.len();
            let line = whole.strip_suffix('\n').unwrap_or(whole);
            let line = line.strip_suffix('\r').unwrap_or(line);
            Line {
                number: index + 1,
                text: line,
                bytes_left,
            }
        })
}

impl Line<'_> {
    /// Points an error at `part`, a piece of this line's text.
    pub fn point(&self, error: Error, path: &Path, part: &str) -> Error {
        let start = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let start = start.min(self.text.len());
        error.at_excerpt(path, self.number, self.text, start..start + part.len())
    }
}
