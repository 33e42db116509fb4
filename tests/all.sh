#!/usr/bin/env bash
# Every test: the program, the lean build, and the Python side (trajectories read back, the
# distillation pipeline).  Python packages go into target/test-venv.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=target/test-venv
if [ ! -x $venv/bin/python ] || ! cmp -s tests/python/requirements.txt $venv/installed; then
    python3 -m venv $venv
    $venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
    cp tests/python/requirements.txt $venv/installed
fi
export MDRUN_TEST_PYTHON=$PWD/$venv/bin/python

cargo test --release
cargo test --release --no-default-features
# The GPU engine on a driver that runs its kernels on the host, first and last threads first.
python3 kernels/build.py --emulator target/emulator
for order in FORWARDS BACKWARDS; do
    env EMULATOR_$order=1 LD_LIBRARY_PATH=target/emulator \
        cargo test --release --no-default-features --test engines
done
(cd distill && "$MDRUN_TEST_PYTHON" -m pytest -q)
