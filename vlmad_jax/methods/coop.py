"""CoOp: learned words before a sentence that names the object and its state (Zhou et al., IJCV 2022).

Prompts (section 3.2, equation 2, unified context): "[V1]...[Vn] flawless bottle." and "[V1]...[Vn] damaged
bottle.": the learned tokens V are the same for both states and every object, whose name is kept.

Training (equation 3): cross-entropy of whole images alone, of other products than those tested; the
backbone is frozen. No mask is learned from.

The paper classifies images. The map here compares the patches of the last layer, projected as the class
token is, with the same two sentences.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.checkpoints.names import unwrapped
from vlmad_jax.backbones.checkpoints.torch_file import read_torch_file
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.vit import TextTransformer
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Scores, check_range
from vlmad_jax.methods.learned import Features, LearnedDetector, Params
from vlmad_jax.scoring.losses import cross_entropy
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.probabilities import anomaly_probability, state_cosines
from vlmad_jax.scoring.prompts import embed_sentences, with_context

State = dict[str, Any]

STATES = ("flawless {}.", "damaged {}.")  # normal and anomalous, learned tokens before them
LONGEST_NAME = 12  # tokens that are kept free for a state and a name


@dataclass(frozen=True, eq=False)
class CoOp(LearnedDetector):
    """CoOp on any CLIP ViT.

    Attributes:
      clip: the backbone.
      image_size: S, the side of the images in pixels.
      context_length: n, the learned tokens.

    Raises:
      InputError: a setting that does not fit the backbone.
    """

    clip: CLIP
    image_size: int
    context_length: int = 16

    name: ClassVar[str] = "coop"
    references: ClassVar = "never"
    needs: ClassVar[str] = "a learned context"
    learns_from_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        longest = self.clip.config.text.context_length - LONGEST_NAME
        check_range("image_size", self.image_size, self.clip.config.vision.patch_size, None)
        check_range("context_length", self.context_length, 1, longest)

    @classmethod
    def paper(cls, clip: CLIP) -> CoOp:
        """The published setting: 16 learned tokens at the backbone's own image size."""
        return cls(clip, clip.config.vision.image_size)

    @classmethod
    def for_backbone(cls, clip: CLIP) -> CoOp:
        """The published setting, which fits every backbone."""
        return cls.paper(clip)

    # Learned prompts

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of the learned tokens."""
        return {"context": (self.context_length, self.clip.config.text.width)}

    def init(self, key: jax.Array) -> Params:
        """Fresh tokens (n, D), normal, 0.02 wide."""
        return {"context": 0.02 * jax.random.normal(key, self.shapes["context"])}

    def context(self, class_names: Sequence[str] = ()) -> State:
        """What is frozen: both towers, the scale of cosines, and of each class its two sentences.

        "tokens" (C, 2, T, D) are embedded, "end" (C, 2) are the places of the end tokens.
        """
        sentences = [state.format(name) for name in class_names for state in STATES]
        frozen = embed_sentences(self.clip, sentences, self.context_length)
        return {
            "vision": {"params": self.clip.params["vision"]},
            "text": {"params": self.clip.params["text"]},
            **{name: x.reshape(len(class_names), 2, *x.shape[1:]) for name, x in frozen.items()},
        }

    def text_features(self, params: Params, context: State) -> jax.Array:
        """Embeddings of the two sentences of each class, not normalised: (C, 2, E)."""
        text = TextTransformer(self.clip.config, self.clip.dtype).bind(context["text"])
        tokens = context["tokens"]  # (C, 2, T, D)
        rows = tokens.reshape(-1, *tokens.shape[2:])
        learned = jnp.broadcast_to(params["context"], (len(rows), *params["context"].shape))
        embeddings, _ = text.encode_embedded(with_context(rows, learned), context["end"].reshape(-1))
        return embeddings.reshape(*tokens.shape[:2], -1)

    # Images

    def extract(self, variables: dict[str, Any], images: jax.Array) -> Features:
        """Features of images: "image" (B, E) and "patches" (B, P, E)."""
        vision = self.clip.vision().bind(variables)

        def encode(images: jax.Array) -> Features:
            hidden, _ = vision.transform(vision.embed(images))
            projected = vision.project(hidden)
            return {"image": projected[:, 0], "patches": projected[:, 1:]}

        return map_images(encode, images, tokens=1 + self.grid[0] * self.grid[1])

    @classmethod
    def of_authors_file(cls, clip: CLIP, path: pathlib.Path) -> CoOp:
        """The published setting, with as many learned tokens as the file has."""
        return dataclasses.replace(cls.paper(clip), context_length=len(read_context(path)))

    def read_authors_file(self, path: pathlib.Path) -> Params:
        """The context in a checkpoint of the authors' prompt learner, see `read_context`."""
        return {"context": jnp.asarray(read_context(path), jnp.float32)}

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """The state for one kind of object: {"text": (2, E)}.

        Args:
          object_name: as it should stand in a sentence, "metal nut".
          references: none, the words are all that is learned.
          params: the learned context, from training or `load_params`.

        Raises:
          InputError: references, no parameters, or parameters of other shapes.
        """
        self.check_references(references is not None)
        params = self.check_params(params, "the parameters")
        frozen = self.context([object_name])
        return {"text": self._encode_prompts(params, {name: frozen[name] for name in ("tokens", "end")})[0]}

    @functools.cached_property
    def _encode_prompts(self) -> Callable[[Params, State], jax.Array]:
        def encode(variables: dict[str, Any], params: Params, sentences: State) -> jax.Array:
            return self.text_features(params, sentences | {"text": variables})

        return self.clip.compile("text", encode)

    @property
    def temperature(self) -> float:
        """What cosines are divided by: the backbone's own, 0.01 of the published ones."""
        return float(np.exp(-np.asarray(self.clip.params["logit_scale"], np.float64)))

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,) and map (B, S, S), 0 to 1."""
        features = self.extract(variables, images)
        patches = anomaly_probability(features["patches"], state["text"], self.temperature)  # (B, P)
        return Scores(
            anomaly_probability(features["image"], state["text"], self.temperature),
            upsample(patches.reshape(-1, *self.grid), (self.size, self.size)),
        )

    # Training

    def loss(
        self, params: Params, context: State, batch: dict[str, Any]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The published loss: cross-entropy of the image against the two sentences of its class.

        Args:
          params: learned; all that the gradient is taken of.
          context: frozen, from `context`.
          batch: `label` and `class_id` int (B,); `image` uint8 (B, S, S, 3), or `features` of `extract`.

        Returns:
          The loss, and its term "image".
        """
        features = batch.get("features") or self.extract(context["vision"], batch["image"])
        chosen = {name: context[name][batch["class_id"]] for name in ("tokens", "end")}
        text = self.text_features(params, {**context, **chosen})  # (B, 2, E)
        cosines = jax.vmap(state_cosines)(features["image"].astype(jnp.float32), text)
        image = cross_entropy(cosines / self.temperature, batch["label"])
        return image, {"image": image}


def read_context(path: pathlib.Path) -> np.ndarray:
    """The context (n, D) in a checkpoint of the authors' prompt learner, "ctx" of its state_dict.

    Raises:
      InputError: a damaged or hostile file, or no context for all classes in it.
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
