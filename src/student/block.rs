//! Sixteen channels side by side: what a loop over channels is made of.
//!
//! Sixteen f32 are one register of the widest machines. Every operation is a plain loop over the
//! lanes; inside a function that is compiled for a machine with vectors these become single
//! instructions, and sums over channels have an order that does not depend on the machine.

#![allow(
    clippy::inline_always,
    reason = "a call in place of an instruction would be the cost"
)]

use std::ops::{Add, Mul, Neg};

use super::real::Real;

/// Channels in a block.
pub const LANES: usize = 16;

/// One block of channels.
#[derive(Clone, Copy, Debug)]
pub struct Block<T>(pub [T; LANES]);

impl<T: Real> Block<T> {
    /// Zero in every lane.
    pub const ZERO: Self = Self([T::ZERO; LANES]);

    /// Reads block `n` of a row.
    #[inline(always)]
    pub fn load(row: &[T], n: usize) -> Self {
        let mut lanes = [T::ZERO; LANES];
        lanes.copy_from_slice(&row[n * LANES..][..LANES]);
        Self(lanes)
    }

    /// Reads what there is of a block that is cut short, and zeros for the rest.
    pub fn load_cut(row: &[T]) -> Self {
        let mut lanes = [T::ZERO; LANES];
        let count = row.len().min(LANES);
        lanes[..count].copy_from_slice(&row[..count]);
        Self(lanes)
    }

    /// Writes what there is room for of a block that is cut short.
    pub fn store_cut(self, row: &mut [T]) {
        row.copy_from_slice(&self.0[..row.len()]);
    }

    /// Writes block `n` of a row.
    #[inline(always)]
    pub fn store(self, row: &mut [T], n: usize) {
        row[n * LANES..][..LANES].copy_from_slice(&self.0);
    }

    /// `self · factor + term`
    #[inline(always)]
    #[must_use]
    pub fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(std::array::from_fn(|l| {
            self.0[l].mul_add(factor.0[l], term.0[l])
        }))
    }

    /// `self · factor + term` with one factor for all lanes
    #[inline(always)]
    #[must_use]
    pub fn scale_add(self, factor: T, term: Self) -> Self {
        Self(std::array::from_fn(|l| {
            self.0[l].mul_add(factor, term.0[l])
        }))
    }

    /// The sum of the lanes, by halves.
    #[inline(always)]
    pub fn sum(self) -> T {
        let mut lanes = self.0;
        let mut half = LANES / 2;
        while half > 0 {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
            half /= 2;
        }
        lanes[0]
    }
}

impl<T: Real> Add for Block<T> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|l| self.0[l] + other.0[l]))
    }
}

impl<T: Real> Mul for Block<T> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|l| self.0[l] * other.0[l]))
    }
}

impl<T: Real> Mul<T> for Block<T> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, factor: T) -> Self {
        Self(std::array::from_fn(|l| self.0[l] * factor))
    }
}

impl<T: Real> Neg for Block<T> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self(std::array::from_fn(|l| -self.0[l]))
    }
}
