"""One process of two that work on one list: prints the names of the videos it tracks.

python -m tests.experiments.many_child LIST OUTPUT SHARE
"""

import sys

from experiments.many_videos import ManyVideos
from experiments.track_options import TrackOptions
from surgjax.evaluation.shares import parse_share
from tests.experiments.test_track_many import Scripted

if __name__ == "__main__":
    listed, output, share = sys.argv[1:]
    many = ManyVideos.open(
        listed, output, TrackOptions("", "", ""), parse_share(share), lambda _: Scripted()
    )
    real = many._track_one

    def track(video):
        print(f"tracks {video.name}", flush=True)
        return real(video)

    many._track_one = track
    sys.exit(many.run(lambda text: None))
