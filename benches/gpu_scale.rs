//! How far the GPU engine goes: memory and time of a step up to the largest batches, and both of its
//! paths beside each other where one hands over to the other.
//!
//! `cargo bench --bench gpu_scale [-- REPLICAS_MAX]`, 1,048,576 if nothing is said; a minute or two.
//! In every batch the first, the middle and the last replica must have the bits that they have without
//! the others, also where the batch does not fit into the memory and is split.

mod gpu;

use std::time::Instant;

use mdrun::elements::element_of;
use mdrun::engine::cuda::Gpu;
use mdrun::engine::{Engine, Precision};
use mdrun::error::Result;
use mdrun::integrate::Scheme;
use mdrun::replica::Replica;
use mdrun::student::Student;
use mdrun::system::Molecule;

use gpu::{
    MEASUREMENTS, all_run, benzene, median_step_s, open, replicas, state_under_load, system,
};

/// The f32 kernels are slower and take more memory: an H200 is full before this.
const SINGLE_REPLICAS_MAX: usize = 1 << 19;
/// Rounds of one molecule on each of 132 multiprocessors.
const CHANGEOVER_REPLICAS: [usize; 2] = [132, 1056];
/// Carbon atoms of straight alkanes with 41 to 131 atoms.
const CARBONS: [usize; 10] = [13, 14, 16, 18, 20, 21, 24, 32, 42, 43];
/// Steps after which bits are compared.
const COMPARED_STEPS: u64 = 3;

fn main() -> Result<()> {
    let student = Student::embedded("default")?;
    let numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let replicas_max: usize = numbers.max().unwrap_or(1 << 20);
    println!("{}", state_under_load(&student)?);
    scale(&student, replicas_max)?;
    changeover(&student, replicas_max)?;
    println!("{}", state_under_load(&student)?);
    Ok(())
}

fn scale(student: &Student, replicas_max: usize) -> Result<()> {
    let system = system(&[benzene()]);
    println!(
        "benzene    precision  replicas  batches  GPU MiB  bytes a replica  us/step  ns a replica and step"
    );
    for precision in [Precision::Mixed, Precision::Single] {
        let most = match precision {
            Precision::Mixed => replicas_max,
            Precision::Single => replicas_max.min(SINGLE_REPLICAS_MAX),
        };
        let mut before: Option<(usize, usize)> = None;
        let mut of_replica = 0.0;
        let powers = (0..)
            .map(|n| 4_usize.pow(n))
            .take_while(|count| *count < most);
        for count in powers.chain([most]) {
            let start = replicas(&system, count);
            let mut engine = open(student, &system, &start, precision)?;
            let (bytes, batches) = (engine.opened_bytes(), engine.batch_count());
            // What all engines have, the weights above all, is not the replicas'; and parts share.
            let each = before
                .filter(|_| batches == 1)
                .map(|(count_before, bytes_before)| {
                    (bytes as f64 - bytes_before as f64) / (count - count_before) as f64
                });
            engine.advance(Scheme::Langevin.program(), COMPARED_STEPS)?;
            let mut after = start.clone();
            engine.snapshot(&mut after)?;
            let chosen = [0, count / 2, count - 1];
            let some: Vec<Replica> = chosen.map(|n| start[n].clone()).into();
            let mut alone = open(student, &system, &some, precision)?;
            alone.advance(Scheme::Langevin.program(), COMPARED_STEPS)?;
            let mut same = some.clone();
            alone.snapshot(&mut same)?;
            for (n, same) in chosen.iter().zip(&same) {
                assert!(after[*n] == *same, "replica {n} of {count} has other bits");
            }
            drop(after);
            let step_s = step_s(&mut engine)?;
            all_run(&mut engine, &start)?;
            println!(
                "{:10} {precision:9?}  {count:8}  {batches:7}  {:7.0}  {:>15}  {:7.1}  {:10.1}",
                "",
                bytes as f64 / f64::from(1 << 20),
                each.map_or(String::new(), |each| format!("{each:.0}")),
                1e6 * step_s,
                1e9 * step_s / count as f64
            );
            of_replica = each.unwrap_or(of_replica);
            before = (batches == 1).then_some((count, bytes));
        }
        if of_replica > 0.0 {
            let free = Gpu::open(0, Some(student))?.memory_free_bytes()? as f64;
            println!(
                "{precision:?}: {of_replica:.0} bytes a replica, {:.1} million of them in the {:.1} GiB that are free",
                1e-6 * free / of_replica,
                free / f64::from(1 << 30)
            );
        }
    }
    Ok(())
}

/// Median time of a step, for batches of which a step may take a second.
fn step_s(engine: &mut dyn Engine) -> Result<f64> {
    let program = Scheme::Langevin.program();
    let mut run = |steps: u64| -> Result<f64> {
        let started = Instant::now();
        engine.advance(program, steps)?;
        Ok(started.elapsed().as_secs_f64() / steps as f64)
    };
    run(1)?;
    let steps = (0.3 / run(1)?) as u64 + 1;
    let mut times_s = [0.0; MEASUREMENTS];
    for time_s in &mut times_s {
        *time_s = run(steps)?;
    }
    times_s.sort_by(f64::total_cmp);
    Ok(times_s[MEASUREMENTS / 2])
}

/// Both paths up to 128 atoms, and the f32 kernels beyond.
fn changeover(student: &Student, replicas_max: usize) -> Result<()> {
    println!("\nalkane    atoms  replicas  tiles us/step  f32 us/step  f32 / tiles");
    for carbons in CARBONS {
        let molecule = alkane(carbons);
        let atoms = molecule.len();
        let system = system(&[molecule]);
        for count in CHANGEOVER_REPLICAS.map(|count| count.min(replicas_max)) {
            let start = replicas(&system, count);
            let [tiles_us, f32_us] = [Precision::Mixed, Precision::Single].map(|precision| {
                let mut engine = open(student, &system, &start, precision)?;
                let is_tiled = engine.padding().is_some();
                let step_s = median_step_s(&mut engine)?;
                all_run(&mut engine, &start)?;
                let wanted = is_tiled || precision == Precision::Single;
                Ok::<_, mdrun::error::Error>(wanted.then_some(1e6 * step_s))
            });
            let (tiles_us, f32_us) = (tiles_us?, f32_us?.unwrap_or(f64::NAN));
            let shown =
                |number: Option<f64>| number.map_or(String::from("-"), |x| format!("{x:.2}"));
            println!(
                "C{carbons:<8} {atoms:5}  {count:8}  {:>13}  {f32_us:11.1}  {:>11}",
                shown(tiles_us),
                shown(tiles_us.map(|tiles_us| f32_us / tiles_us))
            );
        }
    }
    Ok(())
}

/// A straight alkane: C–C 1.53 Å and 112°, C–H 1.09 Å.
fn alkane(carbons: usize) -> Molecule {
    let half = f64::to_radians(112.0 / 2.0);
    let (step, rise) = (1.53 * half.sin(), 1.53 * half.cos());
    let side = f64::to_radians(109.0 / 2.0);
    let (out, up) = (1.09 * side.sin(), 1.09 * side.cos());
    let (mut numbers, mut positions_ang) = (Vec::new(), Vec::new());
    let mut add = |number: u8, position_ang: [f64; 3]| {
        numbers.push(number);
        positions_ang.push(position_ang);
    };
    for n in 0..carbons {
        let above = if n % 2 == 1 { 1.0 } else { -1.0 };
        let (x, y) = (n as f64 * step, above * rise / 2.0);
        add(6, [x, y, 0.0]);
        add(1, [x, y + above * up, out]);
        add(1, [x, y + above * up, -out]);
        for (end, along) in [(0, -1.0), (carbons - 1, 1.0)] {
            if n == end {
                let (dx, dy) = (1.09 * half.sin(), 1.09 * half.cos());
                add(1, [x + along * dx, y - above * dy, 0.0]);
            }
        }
    }
    let mass = |number: &u8| Some(element_of(*number)?.mass_amu);
    Molecule {
        name: format!("C{carbons}"),
        masses_amu: numbers.iter().filter_map(mass).collect(),
        numbers,
        starts_ang: vec![positions_ang],
        bonds: vec![],
    }
}
