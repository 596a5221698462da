"""AnomalyCLIP: learned prompts for normal and anomalous that fit any object (Zhou et al., ICLR 2024).

Prompts (section 3.2): "[V1]...[Vn] object." and "[W1]...[Wn] damaged object." with learned tokens V and W.
Further learned tokens replace those after the start token before each of the next text layers.

Encoder (section 3.3, DPAM): patch features come from a second stream, which adds up the v-v attention of the
last layers. The image feature is CLIP's class token, projected without the last layer norm.

Training (section 3.4): on images and masks of other categories than those tested, with a frozen backbone.

The scores equal those of the authors' code up to float32 rounding.

SigLIP has no class token and no start token. Its image feature is the embedding that its attention pooling
makes from the first stream, and the pooling is applied to each patch of the second stream by itself. Learned
tokens are the first of a prompt.
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

from vlmad_jax.backbones.attention import Kernel, diagonal, kernel
from vlmad_jax.backbones.backbone import Variables
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.transformer import Block, Step
from vlmad_jax.backbones.vit import VisionTransformer
from vlmad_jax.errors import InputError
from vlmad_jax.methods.anomalyclip_files import lengths_of, load_authors_prompts
from vlmad_jax.methods.detector import Features, Params, Scores, check_feature_layers, check_range
from vlmad_jax.methods.learned import (
    Batch,
    LearnedDetector,
    Terms,
    batch_features,
    is_published_backbone,
    quarter_layers,
)
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.losses import cross_entropy, dice_loss, focal_loss
from vlmad_jax.scoring.maps import blur, upsample
from vlmad_jax.scoring.probabilities import anomaly_probability, text_logits
from vlmad_jax.scoring.prompts import EmbeddedPrompts, embed_prompts, insert_learned

MAP_WEIGHT = 4.0  # of the losses of maps
TEXTS = ("object.", "damaged object.")  # normal and anomalous, after the learned tokens


class State(NamedTuple):
    """The text features, which are the same for every category.

    Attributes:
      text: (2, E), normal and anomalous, not normalised.
      diagonal: (), the learned factor of the attention "diagonal", or None.
    """

    text: jax.Array
    diagonal: jax.Array | None = None


class Context(NamedTuple):
    """The frozen arrays of the loss: the variables of both towers, and the prompts (2, T, D)."""

    vision: Variables
    text: Variables
    prompts: EmbeddedPrompts


@dataclass(frozen=True, eq=False)
class AnomalyCLIP(LearnedDetector):
    """AnomalyCLIP on any CLIP ViT.

    The parameters are "normal" and "anomalous" (n, D); "deep" (depth - 1, m, D) from depth 2 on; and
    "diagonal" () with that attention.

    Attributes:
      clip: The backbone; the paper's is OpenAI's ViT-L/14@336.
      image_size: The side of the images in pixels, or (height, width).
      dpam_layers: The number of last vision layers that feed the second stream; 0 is plain CLIP.
      feature_layers: The L layers, counted from 1, whose patch features are compared with the prompts.
      context_length: n, the number of learned tokens of each prompt.
      deep_depth: The number of text layers with learned tokens of their own, the first included; 1 has only
        the context.
      deep_length: m, the number of learned tokens of each of those layers.
      blur_sigma: The standard deviation of the map's blur in pixels; 0 means none.
      attention: The kernel of the second stream, a name in `backbones.attention.KERNELS`.
      temperature: The temperature of the softmax over normal and anomalous.

    Raises:
      InputError: A hyper-parameter does not fit the backbone or is out of range.
    """

    clip: CLIP
    image_size: ImageSize
    dpam_layers: int
    feature_layers: tuple[int, ...]
    context_length: int = 12
    deep_depth: int = 9
    deep_length: int = 4
    blur_sigma: float = 4.0
    attention: str = "vv"
    temperature: float = 0.07

    name: ClassVar[str] = "anomalyclip"
    references: ClassVar = "never"
    options: ClassVar = ("feature_layers", "params")
    needs: ClassVar[str] = "learned prompts"
    learns_from_labels: ClassVar[bool] = True
    state_type: ClassVar = State
    omitted_defaults: ClassVar = {"temperature": 0.07}

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_layers", tuple(self.feature_layers))
        vision, text = self.clip.config.vision, self.clip.config.text
        kernel(self.attention)
        check_feature_layers(self.clip, self.image_size, self.feature_layers)
        check_range("dpam_layers", self.dpam_layers, 0, vision.layers)
        # The start token and "damaged object." with its end take six tokens.
        check_range("context_length", self.context_length, 1, text.context_length - 6)
        check_range("deep_depth", self.deep_depth, 1, text.layers)
        check_range("deep_length", self.deep_length, 1, self.context_length)
        if not self.blur_sigma >= 0:
            raise InputError(f"blur_sigma {self.blur_sigma} is below 0; give 0 for no blur")

    @classmethod
    def paper(cls, clip: CLIP) -> AnomalyCLIP:
        """Return the published setting: 518 pixels, layers 6, 12, 18 and 24, v-v attention from 6 on."""
        return cls(clip, image_size=518, dpam_layers=19, feature_layers=(6, 12, 18, 24))

    @classmethod
    def for_backbone(cls, clip: CLIP) -> AnomalyCLIP:
        """Return the published setting, scaled to a backbone of any depth and image size.

        It is `paper` for ViT-L/14@336. For others, features come from the last layer of each quarter, v-v
        attention starts at the first of these, and the blur is 4 pixels of 518.
        """
        vision, text = clip.config.vision, clip.config.text
        if is_published_backbone(clip):
            return cls.paper(clip)
        layers = quarter_layers(clip)
        return cls(
            clip,
            image_size=vision.image_size,
            dpam_layers=vision.layers - layers[0] + 1,
            feature_layers=layers,
            context_length=min(12, text.context_length - 6),
            deep_depth=min(9, text.layers),
            blur_sigma=4 * vision.image_size / 518,
        )

    @classmethod
    def of_authors_file(cls, clip: CLIP, path: pathlib.Path) -> AnomalyCLIP:
        """Return the published setting with the lengths of the prompts in a file."""
        base = super().of_authors_file(clip, path)
        lengths = lengths_of(load_authors_prompts(path, clip), base.deep_length)
        return dataclasses.replace(base, **lengths._asdict())

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Return 1, and for maps the number of layers, whose probabilities they add up."""
        del references
        return 1.0, float(len(self.feature_layers))

    @property
    def option_that_trains_features(self) -> str | None:
        """`--attention=diagonal`, whose factor is learned, if it is this detector's."""
        return "--attention=diagonal" if self.attention == "diagonal" else None

    # Learned prompts

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters by name."""
        width = self.clip.config.text.width
        context = (self.context_length, width)
        shapes: dict[str, tuple[int, ...]] = {"normal": context, "anomalous": context}
        if self.deep_depth > 1:
            shapes["deep"] = (self.deep_depth - 1, self.deep_length, width)
        return shapes | ({"diagonal": ()} if self.attention == "diagonal" else {})

    def init(self, key: jax.Array) -> Params:
        """Return initial parameters: normal tokens with standard deviation 0.02, and a diagonal of 1."""
        tokens = {name: shape for name, shape in self.shapes.items() if name != "diagonal"}
        keys = jax.random.split(key, len(tokens))
        params = {
            name: 0.02 * jax.random.normal(key, shape)
            for key, (name, shape) in zip(keys, tokens.items(), strict=True)
        }
        return params | {"diagonal": jnp.ones(())} if self.attention == "diagonal" else params

    def context(self, class_names: Sequence[str] = ()) -> Context:
        """Return the frozen arrays of the loss; the prompts do not depend on `class_names`."""
        del class_names
        vision, text = ({"params": self.clip.params[tower]} for tower in ("vision", "text"))
        return Context(vision, text, embed_prompts(self.clip, TEXTS, self.context_length))

    def text_features(self, params: Params, variables: Variables, prompts: EmbeddedPrompts) -> jax.Array:
        """Return the normal and anomalous text features, (2, E), not normalised."""
        text = self.clip.text().bind(variables)
        learned = jnp.stack([params["normal"], params["anomalous"]])  # (2, n, D)
        start, attention = self.clip.config.start_tokens, text.config.attention
        tokens = insert_learned(prompts.tokens, learned, start)
        step = deep_prompts(params["deep"], start, attention) if "deep" in params else None
        return text.encode_embedded(tokens, prompts.end, step)[0]

    @functools.cached_property
    def _text_features(self) -> Callable[[Params], jax.Array]:
        prompts = self.context().prompts

        def encode(variables: Variables, params: Params) -> jax.Array:
            return self.text_features(params, variables, prompts)

        return self.clip.compile("text", encode)

    def prepare(
        self, object_name: str = "object", references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return the text features of the learned prompts, which do not depend on the name."""
        del object_name
        self.check_references(references is not None)
        params = self.check_params(params, "the parameters")
        return State(self._text_features(params), params.get("diagonal"))

    def read_authors_file(self, path: pathlib.Path) -> Params:
        """Return the prompts in a `.pth` file of the authors' training."""
        return load_authors_prompts(path, self.clip)

    # Images

    def extract(self, variables: Variables, images: jax.Array, factor: jax.Array | None = None) -> Features:
        """Return the features of images: `image` (B, E) and `patches` (B, L, P, E).

        `factor` is the learned one of the attention "diagonal".
        """
        vision = self.clip.vision("bilinear").bind(variables)
        attention = kernel(self.attention) if factor is None else functools.partial(diagonal, factor=factor)

        def encode(images: jax.Array) -> Features:
            hidden, streams = two_streams(vision, vision.embed(images), self.dpam_layers, attention)
            patches = jnp.stack([streams[n - 1][:, prefix:] for n in self.feature_layers], axis=1)
            image = vision.project_unnormed(hidden[:, 0]) if has_class else vision.pool(hidden)
            return Features(image, vision.project_patches(patches))

        prefix, has_class = vision.config.prefix, vision.config.class_token
        return map_images(encode, images, tokens=prefix + self.grid[0] * self.grid[1])

    def score_with(self, variables: Variables, state: State, images: jax.Array) -> Scores:
        """Score images with the vision transformer's variables."""
        return self.score_features(state, self.extract(variables, images, state.diagonal))

    def score_features(self, state: State, features: Features) -> Scores:
        """Return scores of images (B,), 0 to 1, and of pixels (B, h, w), 0 to L."""
        image_score = anomaly_probability(features.image, state.text, self.temperature)
        anomaly_map = self.layer_maps(features.patches, state.text).sum(axis=1)  # (B, h, w)
        return Scores(image_score, blur(anomaly_map, self.blur_sigma))

    def layer_maps(self, patches: jax.Array, text: jax.Array) -> jax.Array:
        """Return the probability of "anomalous" at each pixel: (B, L, P, E), (2, E) -> (B, L, h, w).

        It equals (p_anomalous + 1 - p_normal) / 2, because the two add up to 1.
        """
        probabilities = anomaly_probability(patches, text, self.temperature)  # (B, L, P)
        maps = upsample(probabilities.reshape(-1, *self.grid), self.size)
        return maps.reshape(*probabilities.shape[:2], *self.size)

    def loss(self, params: Params, context: Context, batch: Batch) -> tuple[jax.Array, Terms]:
        """Return cross-entropy of the image + 4 x (focal + dice) of the maps, added up over layers.

        Args:
          params: The learned parameters, with respect to which the gradient is taken.
          context: The frozen arrays, from `context`.
          batch: `label` int (B,); `image` uint8 (B, h, w, 3), or `features` from `extract` in its place;
            `mask` uint8 (B, h, w), without which the loss is the cross-entropy alone.

        Returns:
          The loss, and its terms "image", "focal" and "dice".
        """
        extract = functools.partial(self.extract, context.vision, factor=params.get("diagonal"))
        features = batch_features(batch, extract)
        text = self.text_features(params, context.text, context.prompts)
        image = cross_entropy(text_logits(features.image, text, self.temperature), batch["label"])
        if "mask" not in batch:
            return image, {"image": image}
        maps, mask = self.layer_maps(features.patches, text), batch["mask"]
        layers = range(len(self.feature_layers))
        focal = sum((focal_loss(maps[:, n], mask) for n in layers), jnp.zeros(()))
        dice = sum(
            (dice_loss(maps[:, n], mask) + dice_loss(1 - maps[:, n], 1 - mask) for n in layers), jnp.zeros(())
        )
        return image + MAP_WEIGHT * (focal + dice), {"image": image, "focal": focal, "dice": dice}


def deep_prompts(deep: jax.Array, start: int = 1, attention: str = "causal") -> Step:
    """Return the step of text layers with learned tokens of their own (section 3.2).

    `deep` (K, m, D) replaces the m tokens after the first `start` ones before each of K layers from the
    second on.
    """

    def step(layer: Block, hidden: jax.Array, number: int) -> jax.Array:
        if 2 <= number < 2 + len(deep):
            prompt = jnp.broadcast_to(deep[number - 2], (len(hidden), *deep.shape[1:]))
            rest = hidden[:, start + deep.shape[1] :]
            hidden = jnp.concatenate([hidden[:, :start], prompt, rest], axis=1)
        return layer(hidden, attention)

    return step


def two_streams(
    vision: VisionTransformer, tokens: jax.Array, dpam_layers: int, attention: str | Kernel
) -> tuple[jax.Array, list[jax.Array]]:
    """Return the last output of CLIP's own stream, and the second stream after each layer (section 3.3).

    The second stream starts as the first. Each of the last `dpam_layers` adds to it its attention alone,
    computed from the first stream with another kernel. The last layer of the first stream is then computed
    for the class token alone, (B, 1, D), if there is one.

    Args:
      vision: The vision transformer, bound to its variables.
      tokens: Embedded tokens (B, T, D).
      dpam_layers: The number of last layers that feed the second stream.
      attention: The kernel of the second stream.
    """
    layers = vision.config.layers

    def step(layer: Block, streams: tuple[jax.Array, jax.Array], number: int) -> tuple[jax.Array, jax.Array]:
        own, second = streams
        if number <= layers - dpam_layers:
            return (own := layer(own)), own
        queries = 1 if number == layers and vision.config.class_token else None
        q, k, v = layer.project(own)
        second = layer.add(second, layer.attention.attend(attention, q, k, v))
        own = layer.add(own[:, :queries], layer.attention.attend("qk", q[:, :, :queries], k, v))
        return layer.add_mlp(own), second

    hidden = vision.pre(tokens)
    own, second = zip(*vision.through(step, (hidden, hidden)), strict=True)
    return own[-1], list(second)
