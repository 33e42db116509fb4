"""What the teacher says of an evaluation's structures, kept in one small .npz that no student has a part in.

Minima and Hessians of an ensemble in f64 take minutes of a GPU.  With --reference the first call writes them, without a
student if need be, and every later one, of any student, on any machine, only reads.
"""

import pathlib

import numpy as np


def add_argument(parser):
    parser.add_argument("--reference", type=pathlib.Path, help="the teacher's part: read if it is there, else written")


def kept(path, make, log=print):
    """make() → dict of arrays; from `path` if it is there."""
    if path and path.exists():
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    made = make()
    if path:
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, **made)
        partial.rename(path)
        log(f"{path} written")
    return made
