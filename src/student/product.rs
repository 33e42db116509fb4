//! Matrix products Y = X W for weights W that are packed once.
//!
//! W is cut into panels of sixteen columns. A tile of Y, some rows by one or two panels, stays in
//! registers while the inner index runs over its whole length, so every element of Y is
//!
//! ```text
//! y = fma(x_k, w_k, … fma(x_2, w_2, fma(x_1, w_1, start)))
//! ```
//!
//! whatever the number of rows and however they are cut into tiles: a molecule's bits depend
//! neither on its batch nor on threads, nor even on the width of the machine's registers. Nothing
//! is packed or allocated while computing. At the sizes of a molecule, 12 to 200 rows, this is as
//! fast as the best general libraries, whose work begins with packing W.

#![allow(
    clippy::inline_always,
    reason = "tiles must be compiled for the machine they run on"
)]
#![allow(
    clippy::needless_range_loop,
    reason = "the indices are those of the formula"
)]

use std::array;

use multiversion::multiversion;
use multiversion::target::match_target;

use super::block::{Block, LANES};
use super::real::Real;

/// A matrix W in panels.
#[derive(Clone, Debug)]
pub struct Packed<T> {
    /// column blocks, each of all rows; padded with zeros     (⌈columns/16⌉, rows) blocks
    panels: Vec<Block<T>>,
    rows: usize,
    columns: usize,
}

/// What a product starts from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a, T> {
    /// Y = X W
    Zero,
    /// Y = X W + b, one bias a column
    Bias(&'a [T]),
    /// Y += X W
    Add,
}

impl<T: Real> Packed<T> {
    /// Packs a row-major matrix.
    pub fn new(matrix: &[T], columns: usize) -> Self {
        let rows = matrix.len() / columns;
        let panels = (0..columns.div_ceil(LANES)).flat_map(|panel| {
            (0..rows).map(move |row| {
                let row = &matrix[row * columns..][..columns];
                Block::load_cut(&row[panel * LANES..])
            })
        });
        Self {
            panels: panels.collect(),
            rows,
            columns,
        }
    }

    /// The number of rows of W, which is that of columns of X.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns of W and of Y.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Multiplies the rows of X.
    pub fn product(&self, x: &[T], y: &mut [T], start: Start<'_, T>) {
        assert!(x.len().is_multiple_of(self.rows) && x.len() / self.rows * self.columns == y.len());
        match start {
            Start::Zero => multiply::<T, false>(self, x, y),
            Start::Add => multiply::<T, true>(self, x, y),
            Start::Bias(bias) => {
                y.chunks_exact_mut(self.columns)
                    .for_each(|row| row.copy_from_slice(bias));
                multiply::<T, true>(self, x, y);
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn multiply<T: Real, const ADD: bool>(w: &Packed<T>, x: &[T], y: &mut [T]) {
    if !w.columns.is_multiple_of(LANES) {
        return any_width::<T, ADD>(w, x, y);
    }
    let single = size_of::<T>() == size_of::<f32>();
    // A tile fills 24 of 32 registers, or 12 of 16, whatever the number type.
    match_target! {
        "x86_64+avx512f" => if single {
            tiles::<T, 12, 2, ADD>(w, x, y);
        } else {
            tiles::<T, 12, 1, ADD>(w, x, y);
        },
        "x86_64+avx2+fma" => if single {
            tiles::<T, 6, 1, ADD>(w, x, y);
        } else {
            tiles::<T, 3, 1, ADD>(w, x, y);
        },
        _ => if single { tiles::<T, 6, 1, ADD>(w, x, y) } else { tiles::<T, 3, 1, ADD>(w, x, y) },
    }
}

/// All of Y in tiles of at most `ROWS` rows by `PANELS` panels.
///
/// Panels are the outer loop: each is read once from afar, and then again from the nearest cache.
#[inline(always)]
fn tiles<T: Real, const ROWS: usize, const PANELS: usize, const ADD: bool>(
    w: &Packed<T>,
    x: &[T],
    y: &mut [T],
) {
    let panels = w.columns / LANES;
    let paired = panels - panels % PANELS;
    let y = y.as_chunks_mut().0;
    for panel in (0..paired).step_by(PANELS) {
        rows::<T, ROWS, PANELS, ADD>(w, panel, x, y);
    }
    for panel in paired..panels {
        rows::<T, ROWS, 1, ADD>(w, panel, x, y);
    }
}

/// All rows of some panels of Y.
#[inline(always)]
fn rows<T: Real, const ROWS: usize, const PANELS: usize, const ADD: bool>(
    w: &Packed<T>,
    panel: usize,
    x: &[T],
    y: &mut [[T; LANES]],
) {
    let mut x = x;
    let mut y = y;
    while !x.is_empty() {
        let rows = match (x.len() / w.rows).min(ROWS) {
            12.. => tile::<T, 12, PANELS, ADD>(w, panel, x, y),
            8.. => tile::<T, 8, PANELS, ADD>(w, panel, x, y),
            6.. => tile::<T, 6, PANELS, ADD>(w, panel, x, y),
            4.. => tile::<T, 4, PANELS, ADD>(w, panel, x, y),
            3 => tile::<T, 3, PANELS, ADD>(w, panel, x, y),
            2 => tile::<T, 2, PANELS, ADD>(w, panel, x, y),
            _ => tile::<T, 1, PANELS, ADD>(w, panel, x, y),
        };
        x = &x[rows * w.rows..];
        y = &mut y[rows * w.columns / LANES..];
    }
}

/// The first rows of some panels of Y; returns their number.
#[inline(always)]
fn tile<T: Real, const ROWS: usize, const PANELS: usize, const ADD: bool>(
    w: &Packed<T>,
    panel: usize,
    x: &[T],
    y: &mut [[T; LANES]],
) -> usize {
    let (inner, stride) = (w.rows, w.columns / LANES);
    let panels: [&[Block<T>]; PANELS] =
        array::from_fn(|p| &w.panels[(panel + p) * inner..][..inner]);
    let x: [&[T]; ROWS] = array::from_fn(|r| &x[r * inner..][..inner]);
    let mut sums = [[Block::ZERO; PANELS]; ROWS];
    if ADD {
        for r in 0..ROWS {
            for p in 0..PANELS {
                sums[r][p] = Block(y[r * stride + panel + p]);
            }
        }
    }
    for k in 0..inner {
        let w: [Block<T>; PANELS] = array::from_fn(|p| panels[p][k]);
        for r in 0..ROWS {
            for p in 0..PANELS {
                sums[r][p] = w[p].scale_add(x[r][k], sums[r][p]);
            }
        }
    }
    for r in 0..ROWS {
        for p in 0..PANELS {
            y[r * stride + panel + p] = sums[r][p].0;
        }
    }
    ROWS
}

/// Y when its rows are not whole panels; no size that runs is like that.
#[inline(always)]
fn any_width<T: Real, const ADD: bool>(w: &Packed<T>, x: &[T], y: &mut [T]) {
    for (x, y) in x.chunks_exact(w.rows).zip(y.chunks_exact_mut(w.columns)) {
        for (y, panel) in y.chunks_mut(LANES).zip(w.panels.chunks_exact(w.rows)) {
            let mut sum = if ADD { Block::load_cut(y) } else { Block::ZERO };
            for (x, w) in x.iter().zip(panel) {
                sum = w.scale_add(*x, sum);
            }
            sum.store_cut(y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::student::random::SplitMix;

    fn numbers<T: Real>(count: usize, seed: u64) -> Vec<T> {
        let mut generator = SplitMix(seed);
        (0..count)
            .map(|_| T::narrow(generator.gaussian()))
            .collect()
    }

    /// The definition: one chain of multiply-adds an element.
    fn plain<T: Real>(x: &[T], w: &[T], columns: usize, mut y: Vec<T>) -> Vec<T> {
        let inner = w.len() / columns;
        for (x, y) in x.chunks_exact(inner).zip(y.chunks_exact_mut(columns)) {
            for (column, y) in y.iter_mut().enumerate() {
                for k in 0..inner {
                    *y = x[k].mul_add(w[k * columns + column], *y);
                }
            }
        }
        y
    }

    fn every_shape_is_exact<T: Real>() {
        for (inner, columns) in [(1, 1), (16, 16), (5, 40), (32, 33), (128, 96)] {
            let w: Vec<T> = numbers(inner * columns, 1);
            let bias: Vec<T> = numbers(columns, 2);
            let packed = Packed::new(&w, columns);
            for rows in (0..=26).chain([100]) {
                let x: Vec<T> = numbers(rows * inner, 3);
                let before: Vec<T> = numbers(rows * columns, 4);
                let zeros = vec![T::ZERO; rows * columns];
                let biases = bias.repeat(rows);
                for (start, expected) in [
                    (Start::Zero, zeros),
                    (Start::Bias(&bias), biases),
                    (Start::Add, before.clone()),
                ] {
                    let mut y = before.clone();
                    packed.product(&x, &mut y, start);
                    assert!(
                        y == plain(&x, &w, columns, expected),
                        "{rows} × {inner} × {columns}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_element_is_one_chain_of_multiply_adds_in_every_shape() {
        every_shape_is_exact::<f32>();
        every_shape_is_exact::<f64>();
    }
}
