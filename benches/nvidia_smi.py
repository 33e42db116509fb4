"""What nvidia-smi says of the first GPU."""

import subprocess

STATE = "timestamp,name,driver_version,clocks.sm,clocks.max.sm,power.draw,power.limit"


def first_gpu(fields=STATE):
    query = ["nvidia-smi", "-i", "0", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True).stdout.strip()
    except OSError:
        return "nvidia-smi: not found"
