//! Rows of row-major arrays.

#![allow(
    clippy::inline_always,
    reason = "a call in place of an instruction would be the cost"
)]

/// Row `n` of rows of `width` numbers.
#[inline(always)]
pub fn row<T>(array: &[T], n: usize, width: usize) -> &[T] {
    &array[n * width..][..width]
}

/// Row `n` of rows of `width` numbers, to write to.
#[inline(always)]
pub fn row_mut<T>(array: &mut [T], n: usize, width: usize) -> &mut [T] {
    &mut array[n * width..][..width]
}
