"""Builds a tiny generated set; its own process, so that tests can kill it.

python -m tests.tfds_builders.kit.build_tiny DATA_DIR JOBS
"""

import sys
import tempfile

import tensorflow_datasets as tfds

from tfds_builders.generated.builder import Builder, GeneratedConfig

CONFIG = GeneratedConfig(name="twelve", preset="wide", videos=(8, 2, 2), num_frames=8, size=96)


def make(data_dir: str, jobs: int = 1, say=None, config: GeneratedConfig = CONFIG):
    """The prepared builder."""
    builder = Builder(data_dir=data_dir, config=config, jobs=jobs, say=say)
    with tempfile.TemporaryDirectory() as nothing:
        builder.download_and_prepare(
            download_dir=nothing, download_config=tfds.download.DownloadConfig()
        )
    return builder


if __name__ == "__main__":
    print("ready", flush=True)
    make(sys.argv[1], int(sys.argv[2]))
    print("done", flush=True)
