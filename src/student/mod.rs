//! The student: an equivariant message-passing network that gives energies and forces.
//!
//! One law a file, each with its gradient below it: `radial` functions of a distance, `density`
//! sums over neighbours, `update` of an atom, `filter` of a pair, `message` between atoms (by a `board`),
//! `readout` of the energy and `repulsion` under it; beside them `uncertainty`, which has no
//! gradient. [`network`] puts them in order, for the atoms of each `part` of a molecule. The gradient
//! is written out by hand: every line of a backward function quotes the forward line it
//! differentiates.
//!
//! Features stand as rows of channels, row-major, one molecule at a time: all work is products of
//! these rows with matrices (`product`) and loops along them. An atom's rows are computed by one
//! thread from what it and its neighbours have.
//!
//! Every result is a fixed sequence of + − × ÷ √ and fused multiply-adds, sixteen channels side by
//! side whatever the width of the machine's registers: a molecule has the same bits in any batch,
//! on any thread or threads, and on any CPU that keeps to IEEE 754. Evaluating allocates nothing.
//!
//! The family is `PaiNN`, Schütt, Unke and Gastegger, arXiv:2102.03150.

pub mod architecture;
pub mod format;
pub mod network;
pub mod random;
pub mod real;

mod activation;
mod block;
mod board;
mod density;
mod dispersion;
mod features;
mod filter;
mod gate;
mod geometry;
mod harmonics;
mod linear;
mod message;
mod part;
mod perceptron;
mod product;
mod radial;
mod readout;
mod repulsion;
mod rows;
mod switch;
mod uncertainty;
mod update;
mod widen;

pub use architecture::Architecture;
pub use dispersion::dispersion_constants;
pub use format::Student;
pub use network::{Network, Workspace};
pub use repulsion::repulsion_constants;
pub use uncertainty::Uncertainty;
