"""Package metadata of surgjax; exact tested versions live in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

# What importing, tracking, training and the dataset builders need; no torch, no TensorFlow.
REQUIRED = [
    "absl-py>=2",
    "aiohttp>=3.11",  # the server of experiments.annotate
    "array_record>=0.8",
    "av>=14",
    "flax>=0.12",
    "grain>=0.2.18",
    "importlib_resources>=6",  # TFDS imports it and does not say so
    "jax>=0.10",
    "jaxtyping>=0.3",
    "ml_collections>=1.1",
    "numpy>=2",
    "opencv-python-headless>=4.10",
    "optax>=0.2.8",
    "orbax-checkpoint>=0.12",
    "pillow>=10",
    "pycocotools>=2.0.8",
    "safetensors>=0.5",
    "scipy>=1.14",  # the Hungarian matching of tracks; jax needs it in any case
    "tensorflow-datasets>=4.9.10",
]

EXTRAS = {
    "cuda": ["jax[cuda12]>=0.10; sys_platform == 'linux'"],
    "tpu": ["jax[tpu]>=0.10; sys_platform == 'linux'"],
    # The reference implementation that the parity tests compare with; never imported by surgjax.
    "torch": ["torch==2.13.0", "transformers>=5.23,<5.24"],
    "dev": [
        "chex>=0.1.90",
        "flatbuffers>=24",
        "hypothesis>=6.100",
        "import-linter>=2.1",
        "ipykernel>=6",  # with jupytext and nbclient: the notebooks are run
        "jupytext>=1.16",
        "nbclient>=0.10",
        "playwright>=1.49",  # drives the Chromium that is installed; it brings none
        "pyright[nodejs]>=1.1.400",
        "pytest>=8",
        "pytest-xdist>=3.6",
        "ruff>=0.12",
    ],
    "export": ["flatbuffers>=24"],  # the format of jax.export's files
    "tb": ["tensorboardX>=2.6"],  # event files for TensorBoard, without TensorFlow
    "viz": ["matplotlib>=3.9"],
}

setup(
    name="surgjax",
    version="0.1.0",
    description="Surgical video segmentation in JAX: a SAM 2.1 that streams, and systems on it.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(
        include=[
            name + suffix
            for name in ("surgjax", "experiments", "configs", "tfds_builders")
            for suffix in ("", ".*")
        ]
    ),
    package_data={
        "surgjax": ["assets/*", "text/*.json"],
        "experiments": ["annotation/page/*", "promptable_sam2/*.json"],
        "tfds_builders": ["*/README.md", "*/*.txt", "*/splits/*.txt"],
    },
    install_requires=REQUIRED,
    extras_require=EXTRAS,
)
