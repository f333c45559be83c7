"""Prompts on the small test video, shared by the tests of the video predictor."""

CLICK = dict(points=[[20, 20]], labels=[1])
OTHER = dict(points=[[60, 30]], labels=[1])
BOX = dict(box=[5, 5, 30, 40])


def start(predictor, video, prompts, **options):
    """A state with prompts {(object, frame): arguments}."""
    state = predictor.init_state(video, **options)
    for (obj_id, frame), arguments in prompts.items():
        predictor.add_new_points_or_box(state, frame, obj_id, **arguments)
    return state
