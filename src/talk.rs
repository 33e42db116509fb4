//! Words to people and data to programs.
//!
//! The standard macros panic when nobody reads any more (`mdrun … | head`); a run must not end
//! because its audience left.

/// A line on standard error, for people.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

/// A line on standard output, for programs.
#[macro_export]
macro_rules! tell {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}
