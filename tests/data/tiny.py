"""Makes {tiny,tiny-core,tiny-dispersion}.{safetensors,golden.json}: small students with random weights, evaluated by the training code.

    cd distill && python ../tests/data/tiny.py

They pin the engines to the definition in distill/distill/model.py, whatever students there are in models/.  All have the
same weights; tiny-core is the one with `core`, and its structures are there once more with bonds of 0.4 to 0.8 of their
length, well inside the covalent distances.  tiny-dispersion has `dispersion`, and molecules side by side, 6 Å apart.
"""

import dataclasses
import json
import pathlib
import sys

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path.cwd()))
from distill import export, format, golden, model  # noqa: E402

HERE = pathlib.Path(__file__).parent
NAMES = ("water", "phosphine", "chlorodifluoromethane", "bromochlorofluoromethyl thiophene", "dimethyl sulfoxide",
         "benzene", "sulfanilamide", "icosanediol")
SYMBOL = {number: symbol for symbol, number in export.NUMBER_OF_SYMBOL.items()}

jax.config.update("jax_enable_x64", True)
random = np.random.default_rng(1)
config = model.Config(channels=16, radial=16, layers=3, tensor_channels=8)
parameters = {
    name: value + (0.2 if "gate" in name or "bias" in name else 0.02) * random.standard_normal(value.shape)
    for name, value in model.init(jax.random.PRNGKey(1), config).items()
}
reference = random.normal(-1000.0, 500.0, len(model.ELEMENTS))
# Of its own error only the first says something.
drawn = np.random.default_rng(2)
head = {name: 0.1 * drawn.standard_normal(shape) for name, shape in config.uncertainty_shapes(8).items()}
of_head = {"uncertainty": json.dumps({"flag_above_ev_per_ang": 2.0})}

structures = []
for name in NAMES:
    symbols, positions = golden.embed(golden.STRUCTURES[name], random)
    numbers = [export.NUMBER_OF_SYMBOL[symbol] for symbol in symbols]
    structures.append((name, np.array(numbers), np.round(positions, 6)))
scales = np.linspace(0.4, 0.8, len(structures))
pressed = [(f"{name}, pressed", z, np.round(scale * x, 6)) for (name, z, x), scale in zip(structures, scales)]


def beside(a, b, gap=6.0):
    """Two structures as one, the second so many Å further along x than the first ends."""
    (name_a, z_a, x_a), (name_b, z_b, x_b) = a, b
    shift = np.array([x_a[:, 0].max() + gap - x_b[:, 0].min(), 0.0, 0.0])
    return f"{name_a} beside {name_b}", np.concatenate([z_a, z_b]), np.round(np.concatenate([x_a, x_b + shift]), 6)


pairs = [beside(a, b) for a, b in zip(structures, structures[1:-1])]
students = (
    ("tiny", {}, head, structures),
    ("tiny-core", {"core": True}, {}, structures + pressed),
    ("tiny-dispersion", {"core": True, "dispersion": True}, {}, structures + pairs),
)
for name, words, extra, some in students:
    own = dataclasses.replace(config, **words)
    path = HERE / f"{name}.safetensors"
    metadata = {"name": name, "licence": "CC0-1.0"} | (of_head if extra else {})
    digest = format.write(path, parameters | extra, own, reference, metadata)
    rows = export.golden(*format.read(path)[:3], some)
    document = {"model": name, "tensors_sha256": digest, "precision": "float64", "structures": rows}
    (HERE / f"{name}.golden.json").write_text(json.dumps(document) + "\n")
