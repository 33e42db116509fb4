"""A training between two runs: one .npz that holds weights, averages, moments, counters and configuration.

Weights and averages stay float32.  Moments only steer the next updates and are kept as bfloat16 (its bits as
uint16), which halves the file; the SOAP bases are made orthogonal again on loading.
"""

import dataclasses
import json
import pathlib

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from .model import Config
from .schedule import Schedule
from .step import Settings


def save(path, state, config, settings, extra):
    """extra is anything for JSON: reference energies, random state of the streams, history."""
    arrays = {}
    for group in ("parameters", "average"):
        arrays |= {f"{group}:{name}": np.asarray(value) for name, value in state[group].items()}
    for name, value in state["moments"].items():
        arrays[f"moments:{name}"] = np.asarray(value).astype(ml_dtypes.bfloat16).view(np.uint16)
    for name in ("step", "samples", "gradient_norm"):
        arrays[name] = np.asarray(state[name])
    described = {"config": dataclasses.asdict(config), "settings": dataclasses.asdict(settings), "extra": extra}
    path = pathlib.Path(path)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, description=json.dumps(described), **arrays)
    partial.rename(path)


def load(path):
    """(state, config, settings, extra)."""
    state = {"parameters": {}, "average": {}, "moments": {}}
    with np.load(path) as file:
        described = json.loads(str(file["description"]))
        for key in file.files:
            group, _, name = key.partition(":")
            if group == "moments":
                moment = file[key].view(ml_dtypes.bfloat16).astype(np.float32)
                state[group][name] = jnp.asarray(orthogonal(moment) if "_basis/" in name else moment)
            elif group in state:
                state[group][name] = jnp.asarray(file[key])
            elif key != "description":
                state[key] = jnp.asarray(file[key])
    settings = described["settings"]
    settings["schedule"] = Schedule(**settings["schedule"])
    return state, Config(**described["config"]), Settings(**settings), described["extra"]


def orthogonal(stack):
    q, r = np.linalg.qr(stack)
    return (q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]).astype(np.float32)
