//! A program of operators, cut at its evaluations of forces into pieces that are one launch each.

use super::abi::{PIECE_OPERATIONS_MAX, Piece};
use crate::engine::Op;
use crate::error::{Error, Result};

/// `Operation` in kernels/integrate.cu.
const KICK: i32 = 0;
const DRIFT: i32 = 1;
const BATH: i32 = 2;

/// The pieces of one step; forces are evaluated between each and the next.
pub fn pieces(program: &[Op]) -> Result<Vec<Piece>> {
    let has_bath = i32::from(program.contains(&Op::Bath));
    let cut: Vec<&[Op]> = program.split(|op| *op == Op::Forces).collect();
    let last = cut.len() - 1;
    let piece = |(n, ops): (usize, &&[Op])| {
        if ops.len() > PIECE_OPERATIONS_MAX {
            let what = format!(
                "a scheme with {} operators between two evaluations of forces",
                ops.len()
            );
            return Err(Error::run(what).hint(format!("a GPU takes {PIECE_OPERATIONS_MAX}")));
        }
        let mut piece = Piece {
            operations: ops.len() as i32,
            operation: [0; PIECE_OPERATIONS_MAX],
            fraction: [0.0; PIECE_OPERATIONS_MAX],
            begins_step: i32::from(n == 0),
            ends_step: i32::from(n == last),
            program_has_bath: has_bath,
        };
        for (slot, op) in ops.iter().enumerate() {
            (piece.operation[slot], piece.fraction[slot]) = match *op {
                Op::Kick(fraction) => (KICK, fraction),
                Op::Drift(fraction) => (DRIFT, fraction),
                Op::Bath => (BATH, 1.0),
                Op::Forces => continue, // the program is cut there
            };
        }
        Ok(piece)
    };
    cut.iter().enumerate().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrate::Scheme;

    #[test]
    fn langevin_is_two_pieces_around_the_forces() {
        let pieces = pieces(Scheme::Langevin.program()).unwrap();
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].operation[..4], [KICK, DRIFT, BATH, DRIFT]);
        assert_eq!((pieces[0].begins_step, pieces[0].ends_step), (1, 0));
        assert_eq!((pieces[1].operations, pieces[1].fraction[0]), (1, 0.5));
        assert_eq!((pieces[1].begins_step, pieces[1].ends_step), (0, 1));
        assert!(super::pieces(&[Op::Bath; 9]).is_err());
    }
}
