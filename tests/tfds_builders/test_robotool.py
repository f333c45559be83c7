"""RoboTool: the published list of images and our split of it."""

from collections import Counter

from tfds_builders.kit import splits
from tfds_builders.robotool import builder


def test_the_lengths_of_videos_add_up_to_the_published_number():
    assert sum(builder.LENGTHS.values()) == 514
    assert len(builder.LENGTHS) == 20


def test_the_split_is_by_video_and_has_the_sizes_that_the_readme_says():
    table = splits.official(builder.Builder.FOLDER)
    assert set(table) == set(builder.LENGTHS)
    images = Counter()
    for video, length in builder.LENGTHS.items():
        images[table[video]] += length
    assert images == {"train": 362, "val": 76, "test": 76}
