"""The benchmarks: see README.md."""

import os

# After a product OpenBLAS's workers spin for 2**26 ticks, some 25 ms, on cores that the next contender needs: 2**4 here.
# NumPy reads it when it is imported.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
