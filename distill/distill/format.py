"""The file of a student: named float32 tensors, the float64 reference energies, and metadata as strings.

The safetensors header holds everything an engine needs: `architecture` (the fields of model.Config as JSON),
`elements` (atomic numbers in the order of the tables' rows), `units`, `radial`, `repulsion`; and everything a reader
wants to know: teacher, data, licence, accuracy, activation ranges.  `tensors_sha256` is over the tensors' bytes in
the order of their names.

Tensors `uncertainty.*` are optional, and with them comes the metadata `uncertainty`: what they mean, and above which
expected error a molecule is flagged.
"""

import dataclasses
import hashlib
import json
import pathlib

import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from . import checkpoint, repulsion
from .model import ELEMENTS, Config

VERSION = "1"
REFERENCE = "reference_energy"


def tensors_sha256(tensors):
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def shapes(parameters, config):
    """Name → shape of every tensor of this student."""
    units = parameters.get("uncertainty.hidden.bias")
    return config.shapes() | (config.uncertainty_shapes(len(units)) if units is not None else {})


def described(config):
    """The metadata that follows from the student itself."""
    architecture = dataclasses.asdict(config)
    for word in ("core", "dispersion"):  # readers of files without them need not know the words
        if not architecture[word]:
            del architecture[word]
    return {
        "format": "mdrun-student",
        "format_version": VERSION,
        "architecture": json.dumps(architecture),
        "elements": json.dumps(ELEMENTS),
        "units": json.dumps({"length": "Å", "energy": "eV", "force": "eV/Å"}),
        "cutoff_ang": repr(config.cutoff_ang),
        "radial": "sqrt(2/rc) sin(k pi r/rc)/r (1 + cos(pi r/rc))/2, k = 1..K"
        + (", times 1 - (the repulsion's switch)" if config.core else ""),
        "matrix_layout": "row-major (in, out); rows of density.* are element-major: e * K + k - 1",
        "tensor_components": "sqrt3 xy, sqrt3 yz, sqrt3 zx, sqrt3/2 (xx - yy), (3zz - 1)/2 of the unit vector",
        "repulsion": json.dumps({
            "form": "ZBL times 1 - 10x^3 + 15x^4 - 6x^5, x = r / (r_cov_i + r_cov_j)",
            "covalent_radius_ang": {str(z): r for z, r in repulsion.COVALENT_RADIUS_ANG.items()},
            "coulomb_ev_ang": repulsion.COULOMB_EV_ANG,
            "bohr_ang": repulsion.BOHR_ANG,
            "amplitudes": repulsion.AMPLITUDES,
            "exponents": repulsion.EXPONENTS,
        }),
    }


def write(path, parameters, config, reference_energy_ev, metadata):
    """Write the file; returns the hash of its tensors.  Values that no reader would accept are a ValueError."""
    tensors = {name: np.asarray(parameters[name], np.float32) for name in shapes(parameters, config)}
    tensors[REFERENCE] = np.asarray(reference_energy_ev, np.float64)
    if wrong := [name for name, values in tensors.items() if not np.isfinite(values).all()]:
        raise ValueError(f"{path}: values that are not finite: {', '.join(wrong)}")
    digest = tensors_sha256(tensors)
    save_file(tensors, path, metadata=described(config) | metadata | {"tensors_sha256": digest})
    pathlib.Path(path).chmod(0o644)
    return digest


def read(path):
    """(parameters, config, reference energies in eV, metadata); the parameters are float32 as stored."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if metadata.get("format_version") != VERSION:
        raise ValueError(f"{path}: format version {metadata.get('format_version')}, this program reads {VERSION}")
    config = Config(**json.loads(metadata["architecture"]))
    reference = tensors.pop(REFERENCE)
    expected = shapes(tensors, config)
    wrong = [name for name, shape in expected.items() if name not in tensors or tensors[name].shape != shape]
    if wrong or len(tensors) != len(expected):
        raise ValueError(f"{path}: tensors do not fit the architecture: {', '.join(wrong) or 'too many'}")
    return {name: jnp.asarray(value) for name, value in tensors.items()}, config, reference, metadata


def read_any(path):
    """(parameters, config, reference energies) of a student file or of a training's averaged weights."""
    if str(path).endswith(".safetensors"):
        return read(path)[:3]
    state, config, _, extra = checkpoint.load(path)
    return state["average"], config, np.array(extra["reference_energy_ev"])
