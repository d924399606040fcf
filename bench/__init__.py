"""The benchmarks: see README.md."""

import os

# After a product OpenBLAS's workers spin for 2**26 ticks, some 25 ms, on cores that the next one needs. With 2**22 they
# are asleep when it begins, and awake within a sample. NumPy reads this when it is imported.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "22")
