"""Students of a few channels are compiled many times and run for milliseconds: the compiler need not try hard."""

import os

os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true " + os.environ.get("XLA_FLAGS", "")
