"""What a wheel holds beside pyproject.toml's words: cli.py and its folders, below the package.

A module of setuptools can be told to look for `reprtune.checkout` in the root of the checkout only together with
the names of all its packages, and these are found here.
"""

from __future__ import annotations

from setuptools import find_packages, setup

INSIDE = "reprtune.checkout"  # reprtune/console.py puts this folder on the path
FOLDERS = ("commands", "dashboards", "studies")

own = find_packages(include=["reprtune", "reprtune.*"])
beside = [f"{INSIDE}.{name}" for folder in FOLDERS for name in find_packages(include=[folder, f"{folder}.*"])]
setup(
    packages=[*own, *beside],
    py_modules=[f"{INSIDE}.cli"],
    package_dir={INSIDE: "."},
    package_data={"reprtune": ["py.typed"], f"{INSIDE}.dashboards": ["templates/*"]},
    include_package_data=False,
)
