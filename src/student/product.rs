//! Matrix products, all of them: C = A B or C += A B with row-major matrices.
//!
//! The result of a product depends on the way it is cut into blocks. Every molecule gets products
//! of its own, on one thread, with B never transposed (backward passes use a transpose that is
//! stored when the student is loaded), so that a replica's bits depend neither on its neighbours in
//! the batch nor on the number of threads.

use super::real::Real;

/// C (rows, columns) = A (rows, inner) · B (inner, columns), or added to what C holds.
pub fn product<T: Real>(
    c: &mut [T],
    a: &[T],
    b: &[T],
    (rows, inner, columns): (usize, usize, usize),
    add: bool,
) {
    assert!(a.len() == rows * inner && b.len() == inner * columns && c.len() == rows * columns);
    // SAFETY: the line above keeps every access inside its slice, and T is f32 or f64.
    #[allow(unsafe_code, reason = "the gemm crate takes pointers")]
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            c.as_mut_ptr(),
            1,
            columns as isize,
            add,
            a.as_ptr(),
            1,
            inner as isize,
            b.as_ptr(),
            1,
            columns as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
