"""WinCLIP: windows of patches compared with words, and with good samples (Jeong et al., CVPR 2023).

Zero-shot (sections 3 and 4.1): each window of patches passes through the vision transformer by itself; its
embedding is compared with sentences of a good and a defective object; a patch's score is the harmonic mean
over the windows that hold it, then over the window sizes and the whole image.

Few-shot (section 4.3, "WinCLIP+"): patches and windows are also compared with those of good images, the
distance to the nearest averaged over scales; the two maps are averaged, and the image score with the maximum
of the reference map.

The numbers equal anomalib 2.7.0's to float32 rounding. Three settings go beyond the papers and are off
unless asked for: `window_stride` and `merge_tokens` trade accuracy for speed, `multi_scale_sizes` trade some
speed for accuracy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Detector, Scores
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.neighbours import association_scores, normalise
from vlmad_jax.scoring.probabilities import anomaly_probability
from vlmad_jax.scoring.prompts import WINCLIP, PromptEnsemble, ensemble_sentences
from vlmad_jax.scoring.windows import harmonic_aggregation, harmonic_mean, map_windows, sliding_windows

State = dict[str, Any]
Features = dict[str, Any]

# The values of what goes beyond the papers that leave the published method as it is.
UNUSED: dict[str, Any] = {"window_stride": 1, "merge_tokens": 0, "multi_scale_sizes": []}


@dataclass(frozen=True, eq=False)
class WinCLIP(Detector):
    """WinCLIP and, with references, WinCLIP+.

    Attributes:
      clip: the backbone; the paper's is ViT-B/16-plus-240 of LAION-400M.
      window_sizes: sides of the windows in patches, each at most the grid's.
      image_size: S, the side of the images in pixels; None is the backbone's own.
      temperature: of the softmax over good and defective.
      prompts: the sentences.
      window_stride: patches from one window to the next; above 1 it trades accuracy for speed.
      merge_tokens: tokens merged in each layer where a class token is read (`backbones.merging`): of windows,
        and of the whole image in zero-shot, and at `multi_scale_sizes`; above 0 it trades accuracy for speed.
      multi_scale_sizes: other sides in pixels at which the whole image is also encoded; see
        `multi_scale_embeddings`.

    Raises:
      InputError: no window size, or one larger than the grid; images smaller than a patch; a temperature
        that is not above 0; a stride that leaves patches uncovered; fewer than no tokens to merge; a view
        size that patches do not divide, that repeats or that is the images' own.
    """

    clip: CLIP
    window_sizes: tuple[int, ...] = (2, 3)
    image_size: int | None = None
    temperature: float = 0.07
    prompts: PromptEnsemble = WINCLIP
    window_stride: int = 1
    merge_tokens: int = 0
    multi_scale_sizes: tuple[int, ...] = ()

    name: ClassVar[str] = "winclip"
    references: ClassVar = "if given"
    options: ClassVar[tuple[str, ...]] = (
        "window_sizes",
        "window_stride",
        "merge_tokens",
        "multi_scale_sizes",
    )

    def __post_init__(self) -> None:
        patch_size = self.clip.config.vision.patch_size
        if self.size < patch_size:
            raise InputError(f"image_size {self.size} is smaller than a patch; give {patch_size} or more")
        if not self.temperature > 0:
            raise InputError(f"temperature {self.temperature} is not above 0; give for example 0.07")
        if not self.window_sizes:
            raise InputError("no window size; give at least one, for example 2,3")
        if len(set(self.window_sizes)) < len(self.window_sizes):
            raise InputError(f"window sizes {self.window_sizes} repeat; give each once")
        if self.merge_tokens < 0:
            raise InputError(f"merge_tokens {self.merge_tokens} is below 0; give 0 to merge none")
        for size in self.multi_scale_sizes:
            if size < 1 or size % patch_size:
                raise InputError(
                    f"multi-scale size {size} is not a multiple of a patch's {patch_size} pixels; "
                    f"give for example {patch_size * max(1, self.size // patch_size // 2)}"
                )
        if len({self.size, *self.multi_scale_sizes}) <= len(self.multi_scale_sizes):
            raise InputError(
                f"multi-scale sizes {self.multi_scale_sizes} repeat, or hold {self.size}; "
                "give others, each once"
            )
        object.__setattr__(self, "window_sizes", tuple(self.window_sizes))
        object.__setattr__(self, "multi_scale_sizes", tuple(self.multi_scale_sizes))
        self.windows  # noqa: B018  a window that does not fit is refused now, not at the first image

    @classmethod
    def paper(cls, clip: CLIP) -> WinCLIP:
        """The published setting: windows of 2 and 3 patches, temperature 0.07."""
        return cls(clip, window_sizes=(2, 3), temperature=0.07)

    @classmethod
    def for_backbone(cls, clip: CLIP) -> WinCLIP:
        """The published setting, which fits every backbone with a grid of 3 x 3 or more."""
        return cls.paper(clip)

    @classmethod
    def from_options(cls, clip: CLIP, options: MethodOptions) -> tuple[WinCLIP, dict[str, Any]]:
        """With the windows that a user asks for."""
        options.check(cls.name, cls.options)
        with options.named_in_errors(cls.options):
            return cls(clip, **options.chosen(cls.options)), {}

    @property
    def setting(self) -> dict[str, Any]:
        """The hyper-parameters by name; what goes beyond the papers only where it is in use.

        So that a detector which was saved before these could be chosen has the setting it always had.
        """
        return {name: x for name, x in super().setting.items() if UNUSED.get(name) != x}

    @property
    def size(self) -> int:
        """S, the side of the images it takes, in pixels."""
        return self.clip.config.vision.image_size if self.image_size is None else self.image_size

    @functools.cached_property
    def windows(self) -> tuple[np.ndarray, ...]:
        """The patches of every window, (W, size * size) for each window size."""
        return tuple(sliding_windows(self.grid, size, self.window_stride) for size in self.window_sizes)

    def prepare(
        self, object_name: str, references: Array | None = None, params: dict[str, Any] | None = None
    ) -> State:
        """The state for one kind of object.

        Args:
          object_name: as it should stand in a sentence, "metal nut".
          references: uint8 (K, S, S, 3) good samples, or None for zero-shot.
          params: WinCLIP learns none; {} or None.

        Returns:
          {"text": (2, E)} normal and anomalous, and with references "memory": {"patches": (K * P, D),
          "windows": a tuple of (K * W, E), one for each window size}.

        Raises:
          InputError: references of another shape or type; parameters, of which there are none.
        """
        self.refuse_params(params)
        if references is None:
            return {"text": self.text_features(object_name)}
        check_images(references, "references", self.size, self.size)
        # One by one: however many references there are, the encoder compiles once and memory stays bounded.
        features = [self._extract(references[k : k + 1]) for k in range(len(references))]
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *features)
        return {"text": self.text_features(object_name), "memory": self.memory(joined)}

    def text_features(self, object_name: str) -> jax.Array:
        """Embeddings of a good and a defective object, (2, E), not normalised."""
        sentences = ensemble_sentences(self.clip, self.prompts, object_name)
        embeddings = self.clip.encode_text(sentences[0] + sentences[1])
        # The mean of un-normalised embeddings, as anomalib takes it.
        return jnp.stack([x.mean(axis=0) for x in jnp.split(embeddings, [len(sentences[0])])])

    def memory(self, features: Features) -> dict[str, Any]:
        """What `extract` finds in K good images, as a memory of patches and windows; see `prepare`."""
        return jax.tree.map(
            lambda x: x.reshape(-1, x.shape[-1]),
            {"patches": features["patches"], "windows": features["windows"]},
        )

    @functools.cached_property
    def _extract(self) -> Callable[[Array], Features]:
        return self.clip.compile("vision", functools.partial(self.extract, patches=True))

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,) and map (B, S, S), 0 to 1."""
        return self.score_features(state, self.extract(variables, images, patches="memory" in state))

    def score_features(self, state: State, features: Features) -> Scores:
        """`score_with` from what `extract` found in the images."""
        image_score = anomaly_probability(features["image"][:, 0], state["text"], self.temperature)  # (B,)
        patch_map = self.zero_shot_map(features, state["text"], image_score)
        if "memory" in state:
            reference_map = self.reference_map(features, state["memory"])
            patch_map = (patch_map + reference_map) / 2
            image_score = (image_score + reference_map.max(axis=(1, 2))) / 2
        return Scores(image_score, upsample(patch_map, (self.size, self.size)))

    def extract(self, variables: dict[str, Any], images: jax.Array, patches: bool) -> Features:
        """Embeddings of images: "image" (B, 1, E), "windows" a tuple of (B, W, E), "patches" (B, P, D).

        Patches, after the last layer norm and un-projected, are only had if asked for: the last layer is then
        computed for all tokens and not for the class token alone.
        """
        vision = self.clip.vision().bind(variables)
        encode = functools.partial(vision.encode_tokens, merge=self.merge_tokens)
        tokens = vision.embed(images)  # (B, 1 + P, D)
        windows = tuple(map_windows(encode, tokens, windows) for windows in self.windows)
        views = [
            multi_scale_embeddings(encode, vision.embed, images, size) for size in self.multi_scale_sizes
        ]
        if not patches:
            return {"image": mean_embedding([encode(tokens), *views])[:, None], "windows": windows}
        hidden, _ = vision.transform(tokens)
        return {
            "image": mean_embedding([vision.project(hidden[:, 0]), *views])[:, None],
            "windows": windows,
            "patches": vision.norm(hidden[:, 1:]),
        }

    def zero_shot_map(self, features: Features, text: jax.Array, image_score: jax.Array) -> jax.Array:
        """Equation 4: the harmonic mean over windows, then over scales, the whole image being one of them.

        Returns (B, rows, columns), 0 to 1.
        """
        scales = [jnp.broadcast_to(image_score[:, None, None], (len(image_score), *self.grid))]
        for embeddings, windows in zip(features["windows"], self.windows, strict=True):
            scores = anomaly_probability(embeddings, text, self.temperature)  # (B, W)
            scales.append(harmonic_aggregation(scores, windows, self.grid))
        return harmonic_mean(jnp.stack(scales))

    def reference_map(self, features: Features, memory: dict[str, Any]) -> jax.Array:
        """Equation 6: distances to the nearest good patch and windows, averaged over scales.

        Returns (B, rows, columns), 0 to 1.
        """
        patches = association_scores(features["patches"], memory["patches"])  # (B, P)
        scales = [patches.reshape(-1, *self.grid)]
        for embeddings, good, windows in zip(
            features["windows"], memory["windows"], self.windows, strict=True
        ):
            scales.append(harmonic_aggregation(association_scores(embeddings, good), windows, self.grid))
        return jnp.stack(scales).mean(axis=0)


def multi_scale_embeddings(
    encode: Callable[[jax.Array], jax.Array],
    embed: Callable[[jax.Array], jax.Array],
    images: jax.Array,
    size: int,
) -> jax.Array:
    """Embeddings (B, E) of images uint8 (B, S, S, 3) resized to `size` pixels a side, bicubic.

    In no paper. What an encoder says of an image depends on where the borders of its patches fall and on how
    much of a part one patch shows. The mean over sizes errs less, for a share of the work that windows take.
    """
    resized = jax.image.resize(
        images.astype(jnp.float32), (len(images), size, size, 3), "cubic", precision=jax.lax.Precision.HIGHEST
    )
    return encode(embed(resized.clip(0, 255)))


def mean_embedding(embeddings: Sequence[jax.Array]) -> jax.Array:
    """The mean of unit embeddings of several views, (B, E) each; a single one as it is."""
    if len(embeddings) == 1:
        return embeddings[0]
    return jnp.stack([normalise(x) for x in embeddings]).mean(axis=0)
