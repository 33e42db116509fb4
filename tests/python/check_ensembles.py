"""Do the logs of a run sample what they claim?  With physical_validation (10.1021/acs.jctc.8b00291).

    check_ensembles.py kinetic LOG ATOMS KELVIN          mean and width of the kinetic energy, 3N degrees of freedom
    check_ensembles.py ensemble COLD HOT ATOMS KELVIN KELVIN     ratio of the two potential-energy distributions
    check_ensembles.py convergence ATOMS STEP=LOG STEP=LOG …     energy fluctuation against the square of the time step

Prints one line and exits with 0 for yes, 1 for no.  Replicas are independent; the first quarter of each is dropped and
all are pooled, since one small molecule does not average itself.  A bath of friction γ lets the energy of a mode forget
itself as exp(−γt), as long as γ/2 is below its frequency: lines of the log that are 5/γ apart are independent to less than a hundredth.
"""

import collections
import contextlib
import csv
import io
import math
import sys
import warnings

warnings.filterwarnings("ignore")
with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
    import numpy as np
    import physical_validation as pv

BOLTZMANN_EV_PER_K = 8.617333262e-5
SIGMAS_MAX = 3.0
PROBABILITY_MIN = 1e-3
CONVERGENCE_MAX = 0.25


def column(path, name):
    """The values of a log's column, replica by replica."""
    replicas = collections.defaultdict(list)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            replicas[row["replica"]].append(float(row[name]))
    return [np.array(values) for values in replicas.values()]


def independent(replicas):
    return np.concatenate([values[len(values) // 4 :] for values in replicas])


def simulation(atoms, kelvin=None, timestep=None, **observables):
    """A simulation as the library wants it; eV to kJ/mol and Å to nm are its own units' factors."""
    units = pv.data.UnitData(
        kb=BOLTZMANN_EV_PER_K, energy_str="eV", energy_conversion=96.48533212, length_str="A", length_conversion=0.1,
        volume_str="A^3", volume_conversion=1e-3, temperature_str="K", temperature_conversion=1.0,
        pressure_str="bar", pressure_conversion=1.0, time_str="fs", time_conversion=1e-3,
    )  # fmt: skip
    system = pv.data.SystemData(
        natoms=atoms, nconstraints=0, ndof_reduction_tra=0, ndof_reduction_rot=0, mass=np.ones(atoms),
        molecule_idx=np.array([0]), nconstraints_per_molecule=np.array([0]),
    )  # fmt: skip
    kind = dict(ensemble="NVT", temperature=kelvin) if kelvin else dict(ensemble="NVE")
    ensemble = pv.data.EnsembleData(natoms=atoms, volume=1.0, **kind)
    return pv.data.SimulationData(
        units=units, dt=timestep, system=system, ensemble=ensemble, observables=pv.data.ObservableData(**observables)
    )


def kinetic(log, atoms, kelvin):
    data = simulation(int(atoms), float(kelvin), kinetic_energy=independent(column(log, "kinetic_eV")))
    options = dict(verbosity=0, data_is_uncorrelated=True)
    mean, width = pv.kinetic_energy.distribution(data, strict=False, bootstrap_seed=1, **options)
    probability = pv.kinetic_energy.distribution(data, strict=True, **options)
    print(f"kinetic: mean {mean:.2f} σ, width {width:.2f} σ, probability {probability:.3g}")
    return abs(mean) < SIGMAS_MAX and abs(width) < SIGMAS_MAX and probability > PROBABILITY_MIN


def ensemble(cold, hot, atoms, cold_kelvin, hot_kelvin):
    runs = [
        simulation(int(atoms), float(kelvin), potential_energy=independent(column(log, "potential_eV")))
        for log, kelvin in ((cold, cold_kelvin), (hot, hot_kelvin))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        (sigmas,) = pv.ensemble.check(*runs, total_energy=False, verbosity=0, data_is_uncorrelated=True)
    print(f"ensemble: slope {sigmas:.2f} σ from its closed form")
    return abs(sigmas) < SIGMAS_MAX


def convergence(atoms, *runs):
    simulations = []
    for run in runs:
        timestep, _, log = run.partition("=")
        conserved = np.concatenate([values - values.mean() for values in column(log, "conserved_eV")])
        simulations.append(simulation(int(atoms), timestep=float(timestep), constant_of_motion=conserved))
    deviation = pv.integrator.convergence(simulations, verbose=False)
    print(f"convergence: largest deviation {deviation:.3f} from the square of the time step")
    return math.isfinite(deviation) and deviation <= CONVERGENCE_MAX


if __name__ == "__main__":
    check = {"kinetic": kinetic, "ensemble": ensemble, "convergence": convergence}[sys.argv[1]]
    sys.exit(0 if check(*sys.argv[2:]) else 1)
