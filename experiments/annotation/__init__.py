"""The server of `experiments.annotate`: one page, one session, one thread that computes."""
