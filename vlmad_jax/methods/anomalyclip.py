"""AnomalyCLIP: learned words for good and defective that fit any object (Zhou et al., ICLR 2024).

Prompts (section 3.2): "[V1]...[Vn] object." and "[W1]...[Wn] damaged object." with learned tokens V and W,
and further learned tokens that replace those after the start token before each of the next text layers.

Encoder (section 3.3, DPAM): patch features come from a second stream that adds up the v-v attention of the
last layers; the image feature is CLIP's class token, projected without the last layer norm.

Training (section 3.4): on images and masks of other products than those tested; the backbone is frozen.

The numbers equal the authors' code to float32 rounding.
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

from vlmad_jax.backbones.attention import diagonal, kernel
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.vit import TextTransformer, layer_name
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Scores, anomaly_probability, blur, state_cosines, upsample
from vlmad_jax.methods.learned import (
    Features,
    LearnedDetector,
    Params,
    is_published_backbone,
    quarters,
)
from vlmad_jax.methods.limits import check_feature_layers, check_range
from vlmad_jax.methods.prompt_files import lengths_of, load_authors_prompts
from vlmad_jax.methods.prompt_learning import embed_sentences, with_context
from vlmad_jax.scoring.losses import cross_entropy, dice_loss, focal_loss

State = dict[str, Any]

TEMPERATURE = 0.07
LOCAL_WEIGHT = 4.0  # of the losses of maps
SENTENCES = ("object.", "damaged object.")  # normal and anomalous, learned tokens before them


@dataclass(frozen=True, eq=False)
class AnomalyCLIP(LearnedDetector):
    """AnomalyCLIP on any CLIP ViT.

    Attributes:
      clip: the backbone; the paper's is OpenAI's ViT-L/14@336.
      image_size: S, the side of the images in pixels.
      dpam_layers: the last vision layers that feed the second stream; 0 is plain CLIP.
      feature_layers: L of them, counted from 1, whose patch features are compared with the prompts.
      context_length: n, the learned tokens of each sentence.
      deep_depth: text layers with learned tokens of their own, the first included: 1 is none but the context.
      deep_length: m, learned tokens of each of those layers.
      blur_sigma: of the Gaussian over the map, in pixels; 0 is none.
      attention: the kernel of the second stream, a name of `backbones.attention.KERNELS`.

    Raises:
      InputError: a setting that does not fit the backbone.
    """

    clip: CLIP
    image_size: int
    dpam_layers: int
    feature_layers: tuple[int, ...]
    context_length: int = 12
    deep_depth: int = 9
    deep_length: int = 4
    blur_sigma: float = 4.0
    attention: str = "vv"

    name: ClassVar[str] = "anomalyclip"
    references: ClassVar = "never"
    needs: ClassVar[str] = "learned prompts"
    learns_from_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_layers", tuple(self.feature_layers))
        vision, text = self.clip.config.vision, self.clip.config.text
        kernel(self.attention)
        check_feature_layers(self.clip, self.image_size, self.feature_layers)
        check_range("dpam_layers", self.dpam_layers, 0, vision.layers)
        # The start token, the context, and "damaged object." with its end have to find room.
        check_range("context_length", self.context_length, 1, text.context_length - 6)
        check_range("deep_depth", self.deep_depth, 1, text.layers)
        check_range("deep_length", self.deep_length, 1, self.context_length)
        if not self.blur_sigma >= 0:
            raise InputError(f"blur_sigma {self.blur_sigma} is below 0; give 0 for no blur")

    @classmethod
    def paper(cls, clip: CLIP) -> AnomalyCLIP:
        """The published setting: ViT-L/14@336 at 518 pixels, layers 6, 12, 18 and 24, v-v from layer 6 on."""
        return cls(clip, image_size=518, dpam_layers=19, feature_layers=(6, 12, 18, 24))

    @classmethod
    def for_backbone(cls, clip: CLIP) -> AnomalyCLIP:
        """The published setting in proportion to a backbone of any depth and size.

        For ViT-L/14@336 it is `paper`. Elsewhere features come from each quarter of the layers, v-v attention
        from the first of them on, at the backbone's own image size; the blur is 4 pixels of 518.
        """
        vision, text = clip.config.vision, clip.config.text
        if is_published_backbone(clip):
            return cls.paper(clip)
        layers = quarters(clip)
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
        """The published setting, with the lengths of the prompts in the file."""
        base = super().of_authors_file(clip, path)
        lengths = lengths_of(load_authors_prompts(path, clip), base.deep_length)
        return dataclasses.replace(base, **lengths._asdict())

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Of a probability, and of the map, a sum of one a layer."""
        del references
        return 1.0, float(len(self.feature_layers))

    @property
    def option_that_trains_features(self) -> str | None:
        """`--attention=diagonal`, whose factor is learned, if it is this detector's."""
        return "--attention=diagonal" if self.attention == "diagonal" else None

    # Learned prompts

    def init(self, key: jax.Array) -> Params:
        """Fresh parameters: "normal" and "anomalous" (n, D), "deep" (depth - 1, m, D); normal, 0.02 wide."""
        tokens = {name: shape for name, shape in self.shapes.items() if name != "diagonal"}
        keys = jax.random.split(key, len(tokens))
        params = {
            name: 0.02 * jax.random.normal(key, shape)
            for key, (name, shape) in zip(keys, tokens.items(), strict=True)
        }
        # The one that is no token: of `attention="diagonal"`, from where each token counts twice on itself.
        return params | {"diagonal": jnp.ones(())} if self.attention == "diagonal" else params

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the learned tokens, none of them "deep" at depth 1, and of the diagonal's factor."""
        width = self.clip.config.text.width
        context = (self.context_length, width)
        shapes: dict[str, tuple[int, ...]] = {"normal": context, "anomalous": context}
        if self.deep_depth > 1:
            shapes["deep"] = (self.deep_depth - 1, self.deep_length, width)
        return shapes | ({"diagonal": ()} if self.attention == "diagonal" else {})

    def context(self, class_names: Sequence[str] = ()) -> State:
        """What is frozen: both towers' variables, and the sentences "tokens" (2, T, D) with "end" (2,).

        The sentences name no class: `class_names` change nothing.
        """
        del class_names
        frozen = embed_sentences(self.clip, SENTENCES, self.context_length)
        return {
            "vision": {"params": self.clip.params["vision"]},
            "text": {"params": self.clip.params["text"]},
            **frozen,
        }

    def text_features(self, params: Params, context: State) -> jax.Array:
        """Embeddings of the two prompts, normal and anomalous, not normalised: (2, E)."""
        text = TextTransformer(self.clip.config, self.clip.dtype).bind(context["text"])
        learned = jnp.stack([params["normal"], params["anomalous"]])  # (2, n, D)
        tokens = with_context(context["tokens"], learned)
        return text.encode_embedded(tokens, context["end"], params.get("deep"))[0]

    # Images

    def extract(
        self, variables: dict[str, Any], images: jax.Array, factor: jax.Array | None = None
    ) -> Features:
        """Features of images: "image" (B, E) and "patches" (B, L, P, E), as many at a time as fit.

        `factor` is the learned one of the attention "diagonal".
        """
        vision = self.clip.vision("bilinear").bind(variables)
        attention = kernel(self.attention) if factor is None else functools.partial(diagonal, factor=factor)

        def encode(images: jax.Array) -> Features:
            hidden, layers = vision.transform(
                vision.embed(images),
                class_only=self.dpam_layers > 0,
                dpam_layers=self.dpam_layers,
                attention=attention,
            )
            patches = jnp.stack([layers[layer_name(n)][:, 1:] for n in self.feature_layers], axis=1)
            return {"image": vision.project_unnormed(hidden[:, 0]), "patches": vision.project(patches)}

        return map_images(encode, images, tokens=1 + self.grid[0] * self.grid[1])

    def read_authors_file(self, path: pathlib.Path) -> Params:
        """The prompts in a `.pth` file of the authors' training."""
        return load_authors_prompts(path, self.clip)

    def prepare(
        self, object_name: str = "object", references: Array | None = None, params: Params | None = None
    ) -> State:
        """The state: {"text": (2, E)}, the same for every object.

        Args:
          object_name: changes nothing; the prompts fit any object.
          references: none, AnomalyCLIP is zero-shot.
          params: the learned prompts, from training or `load_params`.

        Raises:
          InputError: references, no parameters, or parameters of other shapes.
        """
        del object_name
        self.check_references(references is not None)
        params = self.check_params(params, "the parameters")
        state = {"text": self._encode_prompts(params)}
        return state | ({"diagonal": params["diagonal"]} if "diagonal" in params else {})

    @functools.cached_property
    def _encode_prompts(self) -> Callable[[Params], jax.Array]:
        context = self.context()

        def encode(variables: dict[str, Any], params: Params) -> jax.Array:
            return self.text_features(params, context | {"text": variables})

        return self.clip.compile("text", encode)

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,), 0 to 1, and map (B, S, S), 0 to L."""
        features = self.extract(variables, images, state.get("diagonal"))
        image_score = anomaly_probability(features["image"], state["text"], TEMPERATURE)
        anomaly_map = self.layer_maps(features["patches"], state["text"]).sum(axis=1)  # (B, S, S)
        return Scores(image_score, blur(anomaly_map, self.blur_sigma))

    def layer_maps(self, patches: jax.Array, text: jax.Array) -> jax.Array:
        """The probability of "anomalous" at each pixel and layer: (B, L, P, E), (2, E) -> (B, L, S, S).

        Equal to (p_anomalous + 1 - p_normal) / 2, as the two add up to 1.
        """
        probabilities = anomaly_probability(patches, text, TEMPERATURE)  # (B, L, P)
        maps = upsample(probabilities.reshape(-1, *self.grid), (self.size, self.size))
        return maps.reshape(*probabilities.shape[:2], self.size, self.size)

    # Training

    def loss(
        self, params: Params, context: State, batch: dict[str, Any]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The published loss: cross-entropy of the image + 4 x (focal + dice), summed over feature layers.

        Args:
          params: learned; all that the gradient is taken of.
          context: frozen, from `context`.
          batch: `label` int (B,); `image` uint8 (B, S, S, 3), or `features` of `extract` in its place; `mask`
            uint8 (B, S, S), without which the image's term is all.

        Returns:
          The loss, and its terms "image", "focal" and "dice".
        """
        if "features" in batch:
            features = jax.tree.map(lambda x: x.astype(jnp.float32), batch["features"])
        else:
            features = self.extract(context["vision"], batch["image"], params.get("diagonal"))
        text = self.text_features(params, context)
        image = cross_entropy(state_cosines(features["image"], text) / TEMPERATURE, batch["label"])
        if "mask" not in batch:
            return image, {"image": image}
        maps, mask = self.layer_maps(features["patches"], text), batch["mask"]
        layers = range(len(self.feature_layers))
        focal = sum((focal_loss(maps[:, n], mask) for n in layers), jnp.zeros(()))
        dice = sum(
            (dice_loss(maps[:, n], mask) + dice_loss(1 - maps[:, n], 1 - mask) for n in layers), jnp.zeros(())
        )
        return image + LOCAL_WEIGHT * (focal + dice), {"image": image, "focal": focal, "dice": dice}
