//! What the student of the tests knows.

/// A student's domain like that of the built-in one.
pub fn domain() -> mdrun::structure::Domain {
    mdrun::structure::Domain {
        elements: vec![1, 6, 7, 8, 9, 15, 16, 17, 35],
        cutoff_ang: 5.0,
        force_error_ev_per_ang: Some(0.25),
    }
}
