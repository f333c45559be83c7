"""Speed and memory of video tracking, alone or beside a peer: `experiments.benchmark_video`."""
