"""CoOp: learned tokens before a text that names the object and its state (Zhou et al., IJCV 2022).

Prompts (section 3.2, equation 2, unified context): "[V1]...[Vn] flawless bottle." and "[V1]...[Vn] damaged
bottle." The learned tokens V are the same for both states and all objects, and each object keeps its name.

Training (equation 3): cross-entropy of whole images, without masks, of other categories than those tested,
with a frozen backbone.

The paper classifies images. The map here compares the patches of the last layer, projected as the class token
is, with the same two prompts. SigLIP has no class token, and its attention pooling is applied to each patch.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Variables
from vlmad_jax.backbones.checkpoints.names import unwrapped
from vlmad_jax.backbones.checkpoints.torch_file import read_torch_file
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Features, Params, Scores, check_image_size, check_range
from vlmad_jax.methods.learned import Batch, LearnedDetector, Terms, batch_features
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.losses import cross_entropy
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.probabilities import anomaly_probability, text_logits
from vlmad_jax.scoring.prompts import EmbeddedPrompts, embed_prompts, insert_learned

TEXTS = ("flawless {}.", "damaged {}.")  # normal and anomalous, after the learned tokens
NAME_TOKENS = 12  # the number of tokens reserved for a state and a name


class State(NamedTuple):
    """The text features (2, E) of one category, normal and anomalous, not normalised."""

    text: jax.Array


class Context(NamedTuple):
    """The frozen arrays of the loss: both towers' variables, and the prompts (C, 2, T, D) of C classes."""

    vision: Variables
    text: Variables
    prompts: EmbeddedPrompts


@dataclass(frozen=True, eq=False)
class CoOp(LearnedDetector):
    """CoOp on any CLIP ViT.

    The parameter is "context" (n, D).

    Attributes:
      clip: The backbone.
      image_size: The side of the images in pixels, or (height, width).
      context_length: n, the number of learned tokens.

    Raises:
      InputError: A hyper-parameter does not fit the backbone.
    """

    clip: CLIP
    image_size: ImageSize
    context_length: int = 16

    name: ClassVar[str] = "coop"
    references: ClassVar = "never"
    needs: ClassVar[str] = "a learned context"
    learns_from_labels: ClassVar[bool] = True
    state_type: ClassVar = State

    def __post_init__(self) -> None:
        longest = self.clip.config.text.context_length - NAME_TOKENS
        check_image_size(self.clip, self.image_size)
        check_range("context_length", self.context_length, 1, longest)

    @classmethod
    def paper(cls, clip: CLIP) -> CoOp:
        """Return the published setting: 16 learned tokens, the backbone's own image size."""
        return cls(clip, clip.config.vision.image_size)

    @classmethod
    def for_backbone(cls, clip: CLIP) -> CoOp:
        """Return the published setting, which fits every backbone."""
        return cls.paper(clip)

    @classmethod
    def of_authors_file(cls, clip: CLIP, path: pathlib.Path) -> CoOp:
        """Return the published setting with as many learned tokens as a file has."""
        return dataclasses.replace(cls.paper(clip), context_length=len(read_context(path)))

    @property
    def temperature(self) -> float:
        """The temperature of the softmax: the backbone's own, 0.01 for the published ones."""
        return float(np.exp(-np.asarray(self.clip.params["logit_scale"], np.float64)))

    # Learned prompts

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of the learned tokens by name."""
        return {"context": (self.context_length, self.clip.config.text.width)}

    def init(self, key: jax.Array) -> Params:
        """Return initial tokens, normal with standard deviation 0.02."""
        return {"context": 0.02 * jax.random.normal(key, self.shapes["context"])}

    def embedded_prompts(self, class_names: Sequence[str]) -> EmbeddedPrompts:
        """Return the prompts of C classes, tokens (C, 2, T, D) and end (C, 2)."""
        texts = [text.format(name) for name in class_names for text in TEXTS]
        flat = embed_prompts(self.clip, texts, self.context_length)
        return jax.tree.map(lambda x: x.reshape(len(class_names), 2, *x.shape[1:]), flat)

    def context(self, class_names: Sequence[str] = ()) -> Context:
        """Return the frozen arrays of the loss, with the prompts of each class."""
        vision, text = ({"params": self.clip.params[tower]} for tower in ("vision", "text"))
        return Context(vision, text, self.embedded_prompts(class_names))

    def text_features(self, params: Params, variables: Variables, prompts: EmbeddedPrompts) -> jax.Array:
        """Return the normal and anomalous text features of each class, (C, 2, E), not normalised."""
        text = self.clip.text().bind(variables)
        tokens = prompts.tokens  # (C, 2, T, D)
        rows = tokens.reshape(-1, *tokens.shape[2:])
        learned = jnp.broadcast_to(params["context"], (len(rows), *params["context"].shape))
        rows = insert_learned(rows, learned, self.clip.config.start_tokens)
        embeddings, _ = text.encode_embedded(rows, prompts.end.reshape(-1))
        return embeddings.reshape(*tokens.shape[:2], -1)

    @functools.cached_property
    def _text_features(self) -> Callable[[Params, EmbeddedPrompts], jax.Array]:
        def encode(variables: Variables, params: Params, prompts: EmbeddedPrompts) -> jax.Array:
            return self.text_features(params, variables, prompts)

        return self.clip.compile("text", encode)

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return the text features of an object."""
        self.check_references(references is not None)
        params = self.check_params(params, "the parameters")
        return State(self._text_features(params, self.embedded_prompts([object_name]))[0])

    def read_authors_file(self, path: pathlib.Path) -> Params:
        """Return the context in a checkpoint of the authors' prompt learner, see `read_context`."""
        return {"context": jnp.asarray(read_context(path), jnp.float32)}

    # Images

    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the features of images: `image` (B, E) and `patches` (B, P, E)."""
        vision = self.clip.vision().bind(variables)

        def encode(images: jax.Array) -> Features:
            hidden, _ = vision.transform(vision.embed(images))
            return Features(*vision.image_and_patches(hidden))

        return map_images(encode, images, tokens=vision.config.prefix + self.grid[0] * self.grid[1])

    def score_features(self, state: State, features: Features) -> Scores:
        """Return scores of images (B,) and pixels (B, h, w), 0 to 1."""
        patches = anomaly_probability(features.patches, state.text, self.temperature)  # (B, P)
        return Scores(
            anomaly_probability(features.image, state.text, self.temperature),
            upsample(patches.reshape(-1, *self.grid), self.size),
        )

    def loss(self, params: Params, context: Context, batch: Batch) -> tuple[jax.Array, Terms]:
        """Return the cross-entropy of each image against the two prompts of its class.

        Args:
          params: The learned parameters, with respect to which the gradient is taken.
          context: The frozen arrays, from `context`.
          batch: `label` and `class_id` int (B,); `image` uint8 (B, h, w, 3), or `features` from `extract`
            in its place.

        Returns:
          The loss, and its term "image".
        """
        features = batch_features(batch, functools.partial(self.extract, context.vision))
        prompts = jax.tree.map(lambda x: x[batch["class_id"]], context.prompts)
        text = self.text_features(params, context.text, prompts)  # (B, 2, E)
        logits = jax.vmap(text_logits, (0, 0, None))(features.image, text, self.temperature)
        image = cross_entropy(logits, batch["label"])
        return image, {"image": image}


def read_context(path: pathlib.Path) -> np.ndarray:
    """Return the context (n, D) in a checkpoint of the authors' prompt learner, "ctx" of its state_dict.

    Raises:
      InputError: The file is damaged or unsafe, or has no context that all classes share.
    """
    content = read_torch_file(path)
    learner = content.get("state_dict") if isinstance(content, dict) else None
    context = unwrapped(learner, "ctx").get("ctx") if isinstance(learner, dict) else None
    if not isinstance(context, np.ndarray) or context.ndim != 2:
        raise InputError(
            f"{path}: expected an entry state_dict with ctx (n, D), one context for all classes; "
            "give a checkpoint of CoOp's prompt learner"
        )
    return context
