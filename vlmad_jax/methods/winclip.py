"""WinCLIP: windows of patches compared with prompts and with reference images (Jeong et al., CVPR 2023).

Zero-shot (sections 3 and 4.1): each window of patches passes through the vision transformer by itself. Its
embedding is compared with normal and anomalous prompts. The score of a patch is the harmonic mean over the
windows that cover it, then over the window sizes and the whole image.

Few-shot (section 4.3, "WinCLIP+"): patches and windows are also compared with those of reference images, and
the distances from the nearest are averaged over scales. The two maps are averaged, and the image score is
averaged with the maximum of the reference map.

The scores equal those of anomalib 2.7.0 up to float32 rounding. Three options go beyond the paper and are off
by default: `window_stride` and `merge_tokens` trade accuracy for speed, and `multi_scale_sizes` trades some
speed for accuracy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Variables
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Params, Scores, TextDetector, check_image_size
from vlmad_jax.runtime.sizes import ImageSize, height_and_width
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.merging import encode_merging
from vlmad_jax.scoring.neighbours import association_scores, normalise
from vlmad_jax.scoring.probabilities import anomaly_probability
from vlmad_jax.scoring.prompts import WINCLIP, PromptEnsemble, ensemble_prompts
from vlmad_jax.scoring.windows import harmonic_aggregation, harmonic_mean, map_windows, sliding_windows


class Memory(NamedTuple):
    """The features of K reference images.

    Attributes:
      patches: (K P, D).
      windows: (K W, E) for each window size.
    """

    patches: jax.Array
    windows: tuple[jax.Array, ...]

    @classmethod
    def of(cls, patches: jax.Array, windows: tuple[jax.Array, ...]) -> Memory:
        """Return the memory of patches (K, P, D) and windows (K, W, E) for each window size."""
        return cls(*jax.tree.map(lambda x: x.reshape(-1, x.shape[-1]), (patches, windows)))


class State(NamedTuple):
    """The text features and the memory of one category.

    Attributes:
      text: (2, E), normal and anomalous, not normalised.
      memory: None without reference images.
    """

    text: jax.Array
    memory: Memory | None = None


class Features(NamedTuple):
    """The features of B images.

    Attributes:
      image: (B, 1, E).
      windows: (B, W, E) for each window size.
      patches: (B, P, D) after the last layer norm and not projected, or None.
    """

    image: jax.Array
    windows: tuple[jax.Array, ...]
    patches: jax.Array | None = None


@dataclass(frozen=True, eq=False)
class WinCLIP(TextDetector):
    """WinCLIP and, with reference images, WinCLIP+.

    Attributes:
      clip: The backbone; the paper's is ViT-B/16-plus-240 of LAION-400M.
      window_sizes: The sides of the windows in patches, each at most the grid's.
      image_size: The side of the images in pixels, or (height, width); None means the backbone's own.
      temperature: The temperature of the softmax over normal and anomalous.
      prompts: The prompt ensemble.
      window_stride: The number of patches from one window to the next; above 1 trades accuracy for speed.
      merge_tokens: The number of tokens merged in each layer (`scoring.merging`) where only the class
        token is read: in windows, in the whole image in zero-shot, and at `multi_scale_sizes`; above 0 trades
        accuracy for speed.
      multi_scale_sizes: Further shorter sides in pixels at which the whole image is encoded, see
        `multi_scale_embedding`.

    Raises:
      InputError: A hyper-parameter does not fit the backbone, is out of range or repeats.
    """

    clip: CLIP
    window_sizes: tuple[int, ...] = (2, 3)
    image_size: ImageSize | None = None
    temperature: float = 0.07
    prompts: PromptEnsemble = WINCLIP
    window_stride: int = 1
    merge_tokens: int = 0
    multi_scale_sizes: tuple[int, ...] = ()

    name: ClassVar[str] = "winclip"
    references: ClassVar = "if given"
    options: ClassVar = ("window_sizes", "window_stride", "merge_tokens", "multi_scale_sizes")
    state_type: ClassVar = State
    omitted_defaults: ClassVar = {"window_stride": 1, "merge_tokens": 0, "multi_scale_sizes": []}

    def __post_init__(self) -> None:
        patch_size = self.clip.config.vision.patch_size
        check_image_size(self.clip, self.size)
        if not self.temperature > 0:
            raise InputError(f"temperature {self.temperature} is not above 0; give for example 0.07")
        if not self.window_sizes:
            raise InputError("no window size; give at least one, for example 2,3")
        if len(set(self.window_sizes)) < len(self.window_sizes):
            raise InputError(f"window sizes {self.window_sizes} repeat; give each once")
        if self.merge_tokens and not self.clip.config.vit().class_token:
            raise InputError(f"merge_tokens needs a class token, which {self.clip.name} lacks; give 0")
        if self.merge_tokens < 0:
            raise InputError(f"merge_tokens {self.merge_tokens} is below 0; give 0 to merge none")
        for size in self.multi_scale_sizes:
            if size < 1 or size % patch_size:
                raise InputError(
                    f"multi-scale size {size} is not a multiple of the patch size of {patch_size} pixels; "
                    f"give for example {patch_size * max(1, min(self.size) // patch_size // 2)}"
                )
        if len({min(self.size), *self.multi_scale_sizes}) <= len(self.multi_scale_sizes):
            raise InputError(
                f"multi-scale sizes {self.multi_scale_sizes} repeat, or include the image size "
                f"{min(self.size)}; give others, each once"
            )
        object.__setattr__(self, "window_sizes", tuple(self.window_sizes))
        object.__setattr__(self, "multi_scale_sizes", tuple(self.multi_scale_sizes))
        self.windows  # noqa: B018  raises now, not at the first image, if a window does not fit

    @classmethod
    def paper(cls, clip: CLIP) -> WinCLIP:
        """Return the published setting: windows of 2 and 3 patches, temperature 0.07."""
        return cls(clip, window_sizes=(2, 3), temperature=0.07)

    @classmethod
    def for_backbone(cls, clip: CLIP) -> WinCLIP:
        """Return the published setting, which fits every backbone with a grid of 3 x 3 patches or more."""
        return cls.paper(clip)

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the input images in pixels."""
        return height_and_width(self.clip.image_size if self.image_size is None else self.image_size)

    @property
    def multi_scale_shapes(self) -> tuple[tuple[int, int], ...]:
        """The (height, width) of the images at `multi_scale_sizes`, in whole patches."""
        patch, shorter = self.clip.config.vision.patch_size, min(self.size)
        return tuple(
            (size * self.size[0] // shorter // patch * patch, size * self.size[1] // shorter // patch * patch)
            for size in self.multi_scale_sizes
        )

    @functools.cached_property
    def windows(self) -> tuple[np.ndarray, ...]:
        """The patch indices of all windows, (W, size * size) for each window size."""
        return tuple(sliding_windows(self.grid, size, self.window_stride) for size in self.window_sizes)

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return the text features of an object, and the memory of its reference images if they are given."""
        self.check_no_params(params)
        if references is None:
            return State(self.text_features(object_name))
        check_images(references, "references", self.backbone.patch_size, self.size)
        # One by one, so that the encoder compiles once for any number of references and memory is bounded.
        features = [self._extract(references[k : k + 1]) for k in range(len(references))]
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *features)
        return State(self.text_features(object_name), Memory.of(joined.patches, joined.windows))

    def text_features(self, object_name: str) -> jax.Array:
        """Return the normal and anomalous text features of an object, (2, E), not normalised.

        Raises:
          InputError: Truncation makes a normal and an anomalous prompt equal.
        """
        normal, anomalous = ensemble_prompts(self.clip, self.prompts, object_name)
        embeddings = self.clip.encode_text(normal + anomalous)
        # The mean of embeddings that are not normalised, as in anomalib.
        return jnp.stack([x.mean(axis=0) for x in jnp.split(embeddings, [len(normal)])])

    @functools.cached_property
    def _extract(self) -> Callable[[Array], Features]:
        return self.clip.compile("vision", functools.partial(self.extract, patches=True))

    def extract(self, variables: Variables, images: jax.Array, patches: bool) -> Features:
        """Return the features of images.

        Without `patches` the last layer is computed for the class token alone.
        """
        vision = self.clip.vision().bind(variables)
        encode: Callable[[jax.Array], jax.Array] = vision.encode_tokens
        if self.merge_tokens:
            encode = functools.partial(encode_merging, vision, number=self.merge_tokens)
        tokens, prefix = vision.embed(images), vision.config.prefix  # (B, prefix + P, D)
        windows = tuple(map_windows(encode, tokens, windows, prefix) for windows in self.windows)
        others = [
            multi_scale_embedding(encode, vision.embed, images, shape) for shape in self.multi_scale_shapes
        ]
        if not patches:
            return Features(mean_embedding([encode(tokens), *others])[:, None], windows)
        hidden, _ = vision.transform(tokens)
        image = mean_embedding([vision.pool(hidden), *others])
        return Features(image[:, None], windows, vision.norm(hidden[:, prefix:]))

    def score_with(self, variables: Variables, state: State, images: jax.Array) -> Scores:
        """Score images with the vision transformer's variables."""
        features = self.extract(variables, images, patches=state.memory is not None)
        return self.score_features(state, features)

    def score_features(self, state: State, features: Features) -> Scores:
        """Return scores of images (B,) and pixels (B, height, width), 0 to 1."""
        image_score = self.probability(features.image[:, 0], state.text)  # (B,)
        patch_map = self.zero_shot_map(features, state.text, image_score)
        if state.memory is not None:
            reference_map = self.reference_map(features, state.memory)
            patch_map = (patch_map + reference_map) / 2
            image_score = (image_score + reference_map.max(axis=(1, 2))) / 2
        return Scores(image_score, upsample(patch_map, self.size))

    def probability(self, features: jax.Array, text: jax.Array) -> jax.Array:
        """Return the probability of "anomalous", equation 1: (..., E), (2, E) -> (...), 0 to 1."""
        return anomaly_probability(features, text, self.temperature)

    def zero_shot_map(self, features: Features, text: jax.Array, image_score: jax.Array) -> jax.Array:
        """Return the harmonic mean over windows, then over window sizes and the image score, equation 4.

        Returns:
          (B, rows, columns), 0 to 1.
        """
        scales = [jnp.broadcast_to(image_score[:, None, None], (len(image_score), *self.grid))]
        for embeddings, windows in zip(features.windows, self.windows, strict=True):
            scores = self.probability(embeddings, text)  # (B, W)
            scales.append(harmonic_aggregation(scores, windows, self.grid))
        return harmonic_mean(jnp.stack(scales))

    def reference_map(self, features: Features, memory: Memory) -> jax.Array:
        """Return distances from the nearest patches and windows, averaged over scales, equation 6.

        Returns:
          (B, rows, columns), 0 to 1.
        """
        assert features.patches is not None
        patches = association_scores(features.patches, memory.patches)  # (B, P)
        scales = [patches.reshape(-1, *self.grid)]
        for embeddings, known, windows in zip(features.windows, memory.windows, self.windows, strict=True):
            scales.append(harmonic_aggregation(association_scores(embeddings, known), windows, self.grid))
        return jnp.stack(scales).mean(axis=0)


def multi_scale_embedding(
    encode: Callable[[jax.Array], jax.Array],
    embed: Callable[[jax.Array], jax.Array],
    images: jax.Array,
    size: tuple[int, int],
) -> jax.Array:
    """Return the embeddings (B, E) of uint8 images (B, height, width, 3) resized bicubically to `size`.

    No paper does this. An embedding depends on where patch borders fall and on how much of the object a patch
    shows. The mean over sizes is more accurate, for a fraction of the work that windows take.
    """
    resized = jax.image.resize(
        images.astype(jnp.float32), (len(images), *size, 3), "cubic", precision=jax.lax.Precision.HIGHEST
    )
    return encode(embed(resized.clip(0, 255)))


def mean_embedding(embeddings: Sequence[jax.Array]) -> jax.Array:
    """Return the mean of normalised embeddings (B, E); a single one is returned unchanged."""
    if len(embeddings) == 1:
        return embeddings[0]
    return jnp.stack([normalise(x) for x in embeddings]).mean(axis=0)
