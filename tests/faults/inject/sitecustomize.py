"""Imported by Python itself at the start of a process that has this folder in PYTHONPATH."""

from __future__ import annotations

import os

if os.environ.get("TESTS_FAULTS"):
    from tests.faults.points import install

    install()
