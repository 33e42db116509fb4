"""What one forward pass of a student costs, counted from its shapes; the analytic backward costs about as much again.

Matrix products are multiply-adds (tensor cores).  Lane operations are the rest of the work on edges (fused
multiply-adds on plain cores): each counts one channel, one radial function or one component.
"""

from .model import ELEMENTS

# (atoms, directed edges within 5 Å): a molecule of 12 atoms seen as all pairs, and one of 40 with its usual
# 21 neighbours an atom.
EXAMPLES = {"12 atoms": (12, 132), "40 atoms": (40, 840)}


def count(config):
    """Forward multiply-adds per atom, and per directed edge: matrix and lane operations."""
    f, k, e, layers = config.channels, config.radial, len(ELEMENTS), config.layers
    t = config.tensor_channels if config.tensor and config.first == "density" else 0
    if config.first == "density":
        components = 9 if t else 4
        atom = e * k * (4 * f + 5 * t)
        edge_matrix, edge_lane = 0, k * components + k
    else:
        atom = 0
        edge_matrix, edge_lane = k * 2 * f, 6 * f + k
    atom += layers * (3 * f * 2 * f + 2 * f * f + f * 3 * f) - f * f + t * f + f * f // 2
    atom += (layers - 1) * (f * f + f * 3 * f)
    edge_matrix += (layers - 1) * k * 3 * f
    edge_lane += (layers - 1) * 10 * f
    return {"atom_matrix": atom, "edge_matrix": edge_matrix, "edge_lane": edge_lane}


def table(config):
    """Millions of operations of one forward pass at the example sizes."""
    per = count(config)
    row = dict(per)
    for name, (atoms, edges) in EXAMPLES.items():
        row[f"matrix_million, {name}"] = (atoms * per["atom_matrix"] + edges * per["edge_matrix"]) / 1e6
        row[f"lane_million, {name}"] = edges * per["edge_lane"] / 1e6
    return row
