"""Map folders of the clone into the package, which pyproject.toml cannot do."""

from setuptools import find_packages, setup

MOVED = {"vlmad_jax.experiments": "experiments", "vlmad_jax.weights": "weights"}

setup(
    packages=[*find_packages(include=["vlmad_jax", "vlmad_jax.*"]), *MOVED],
    package_dir=MOVED,
)
