"""What pyproject.toml cannot say: folders of the clone that an installation holds inside of the package."""

from setuptools import find_packages, setup

MOVED = {"vlmad_jax.experiments": "experiments", "vlmad_jax.weights": "weights"}

setup(
    packages=[*find_packages(include=["vlmad_jax", "vlmad_jax.*"]), *MOVED],
    package_dir=MOVED,
)
