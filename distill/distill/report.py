"""What an evaluation leaves behind: a .json with everything, and one table on standard output."""

import json

import numpy as np

EV_KCAL_MOL = 23.060548  # kcal/mol for 1 eV


def errors(difference):
    """The usual figures of a list of errors."""
    d = np.abs(np.asarray(difference, float))
    return {
        "count": int(d.size),
        "mae": float(d.mean()),
        "median": float(np.median(d)),
        "rmse": float(np.sqrt((d * d).mean())),
        "p95": float(np.percentile(d, 95)),
        "max": float(d.max()),
    }


def finish(path, unit, rows, details=None):
    """rows: {quantity: {who: figures}}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"unit": unit, "rows": rows, "details": details or {}}
    path.write_text(json.dumps(document, indent=1, default=lambda value: np.asarray(value).tolist()) + "\n")
    print(f"| {unit} | who | " + " | ".join(("count", "MAE", "median", "RMSE", "95 %", "largest")) + " |")
    print("| --- | --- |" + " ---: |" * 6)
    for quantity, by_who in rows.items():
        for who, row in by_who.items():
            cells = [str(row["count"])] + [f"{row[key]:.4g}" for key in ("mae", "median", "rmse", "p95", "max")]
            print(f"| {quantity} | {who} | " + " | ".join(cells) + " |")
