#!/usr/bin/env bash
# Every test: the program, the lean build, and the Python side (trajectories read back, the
# distillation pipeline).  Python packages go into target/test-venv.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=target/test-venv
wanted=$(cat tests/python/requirements.txt distill/requirements-test.txt)
if [ ! -x $venv/bin/python ] || [ "$wanted" != "$(cat $venv/installed 2>/dev/null)" ]; then
    python3 -m venv $venv
    $venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -r tests/python/requirements.txt -r distill/requirements-test.txt
    echo "$wanted" >$venv/installed
fi
export MDRUN_TEST_PYTHON=$PWD/$venv/bin/python

cargo test --release
# The lean build: what is different in it.
cargo test --release --no-default-features --lib --test config --test plan --test structures
cargo test --release --no-default-features --test campaign -- inputs commands::eval
# The GPU engine on a driver that runs its kernels on the host, first and last threads first.
python3 kernels/build.py --emulator target/emulator
for order in FORWARDS BACKWARDS; do
    env EMULATOR_$order=1 LD_LIBRARY_PATH=target/emulator \
        cargo test --release --no-default-features --test engines
done
LD_LIBRARY_PATH=$PWD/target/emulator cargo test --release --no-default-features --test campaign gpu
(cd distill && "$MDRUN_TEST_PYTHON" -m pytest -q)
