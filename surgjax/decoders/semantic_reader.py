"""The semantic token's way through the two-way transformer of the mask decoder.

Path:    tokens, image, semantic token -> [semantic_reader] -> mask decoder heads, SemanticHead
Axes:    tokens [B, T, d] with token_mask [B, T], image [B, N, d], reader [B, 1, d] -> [B, d].
Source:  SAM2S, arXiv:2511.16618: the token leaves the mask decoder as what is compared with text.
         That it stands after the prompt tokens, and what reads it, are our choices.
Differs: `aside` keeps it out of sight: it attends to the tokens, to itself and to the image in a
         pass of its own over the same states, so that tokens and image are computed as without
         it. `appended` makes it one more prompt token, which tokens and image attend to.
"""

import jax
import jax.numpy as jnp

from surgjax.decoders.two_way_transformer import TwoWayTransformer

Answers = tuple[jax.Array, jax.Array, jax.Array]  # tokens, image, reader [B, d]


def _with_reader(token_mask: jax.Array) -> jax.Array:
    alive = jnp.ones((token_mask.shape[0], 1), bool)
    return jnp.concatenate([token_mask, alive], 1)


def aside(
    transformer: TwoWayTransformer,
    image: jax.Array,
    image_pe: jax.Array,
    tokens: jax.Array,
    token_mask: jax.Array,
    reader: jax.Array,
) -> Answers:
    """Tokens and image as without the reader, and what it read of them."""
    mask = _with_reader(token_mask)
    everyone_pe = jnp.concatenate([tokens, reader], 1)
    q, k, r = tokens, image, reader
    for block in transformer.layers:
        everyone = jnp.concatenate([q, r], 1)
        r = block.advance(r, reader, everyone, everyone_pe, k, image_pe, mask)
        q, k = block(q, k, tokens, image_pe, token_mask)
    tokens = transformer.finish(q, tokens, k, image_pe)
    return tokens, k, transformer.finish(r, reader, k, image_pe)[:, 0]


def appended(
    transformer: TwoWayTransformer,
    image: jax.Array,
    image_pe: jax.Array,
    tokens: jax.Array,
    token_mask: jax.Array,
    reader: jax.Array,
) -> Answers:
    """Tokens and image that see the reader as one more prompt token."""
    everyone = jnp.concatenate([tokens, reader], 1)
    everyone, image = transformer(image, image_pe, everyone, _with_reader(token_mask))
    return everyone[:, :-1], image, everyone[:, -1]
