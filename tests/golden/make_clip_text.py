"""Writes the golden file: `python -m tests.golden.make_clip_text` (needs torch and transformers).

Path:    transformers at debug size -> [make_clip_text] -> clip_text_debug.npz -> test_clip_text
Axes:    ids (N, L), text vectors (N, D), hidden states (N, L, C).
Units:   none.
Errors:  none of its own.
Source:  transformers 5.23, weights of tests.parity.clip_text rounded to float16, and a vocabulary
         of tests.text.vocabulary.
Differs: weights are stored by their torch names in 16 bits, exact since the reference runs with
         the rounded values.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

from surgjax.text.clip_text_encoder import debug_config
from tests.parity import clip_text
from tests.text import vocabulary

FILE = Path(__file__).with_name("clip_text_debug.npz")
MERGES = 60
TEXTS = (
    "a surgical hook",
    "The grasper's tip doesn't hold; they're 12 mm apart",
    "an endoscopic view of the bipolar forceps",
    "  Gef\u00e4\u00df e\u0301 \u4e00 \u03a3!! <|ENDOFTEXT|> ",
    "",
    "scissors<|endoftext|>snare",
)


def main() -> None:
    """Ids, vectors and hidden states of a few texts, with everything they were made from."""
    with tempfile.TemporaryDirectory() as folder:
        count = len(vocabulary.write(Path(folder), MERGES))
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
        files = {
            name: (Path(folder) / name).read_text(encoding="utf-8")
            for name in ("vocab.json", "merges.txt")
        }
    config = debug_config(count)
    model = clip_text.build(config)
    model.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    whole = tokenizer(list(TEXTS))["input_ids"]
    ids = tokenizer(list(TEXTS), padding="max_length", truncation=True, max_length=config.context)[
        "input_ids"
    ]
    with torch.inference_mode():
        out = model(torch.tensor(ids))
    about = dict(
        texts=TEXTS, whole=whole, seed=0, transformers=transformers.__version__,
        torch=torch.__version__,
    )  # fmt: skip
    arrays = {f"weight/{k}": v.numpy().astype(np.float16) for k, v in model.state_dict().items()}
    np.savez_compressed(
        FILE,
        about=json.dumps(about),
        ids=np.array(ids, np.int32),
        vectors=out.text_embeds.numpy(),
        hidden=out.last_hidden_state.numpy(),
        **files,  # pyright: ignore[reportArgumentType]
        **arrays,  # pyright: ignore[reportArgumentType]
    )
    print(f"{FILE.name}: {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
