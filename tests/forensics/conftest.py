"""Threads of the linear algebra only get into each other's way on matrices as small as those of these tests."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
