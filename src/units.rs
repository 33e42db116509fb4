//! Units and constants.
//!
//! Inside: Å, fs, eV, atomic mass units, kelvin; a velocity is in Å/fs, a force in eV/Å.
//! The constants follow from the exact SI values and CODATA 2018
//! (10.1103/RevModPhys.93.025010).

/// Boltzmann's constant in eV/K: 1.380649e-23 J/K over 1.602176634e-19 J/eV, both exact.
pub const BOLTZMANN_EV_PER_K: f64 = 1.380_649e-23 / 1.602_176_634e-19;

/// Å/fs² for a force of 1 eV/Å on a mass of 1 u.
///
/// 1 eV/(Å u) = 1.602176634e-19 J / (1e-10 m × 1.66053906660e-27 kg) in m/s², and
/// 1 m/s² = 1e10 Å / 1e30 fs².
pub const ACCELERATION: f64 = 1.602_176_634e-19 / (1e-10 * 1.660_539_066_60e-27) * 1e-20;

/// 1 kcal/mol in eV: 4184 J over Avogadro's number and the elementary charge.
pub const KCAL_PER_MOL_EV: f64 = 4184.0 / (6.022_140_76e23 * 1.602_176_634e-19);

/// Coulomb's constant e²/(4πε₀) in eV Å.
pub const COULOMB_EV_ANG: f64 = 14.399_645_478_425_67;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hydrogen_atom_at_its_thermal_speed_has_half_a_k_t_per_axis() {
        let speed = (BOLTZMANN_EV_PER_K * 300.0 * ACCELERATION / 1.008).sqrt();
        let kinetic_ev = 0.5 * 1.008 * speed * speed / ACCELERATION;
        assert!((kinetic_ev - 0.5 * BOLTZMANN_EV_PER_K * 300.0).abs() < 1e-15);
        // The Maxwell–Boltzmann width of hydrogen at 300 K is 1.573 km/s = 0.01573 Å/fs.
        assert!((speed - 0.015_73).abs() < 1e-5);
    }
}
