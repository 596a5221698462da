"""Prompt ensembles as data: states of an object put into photo templates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PromptEnsemble:
    """Sentences for a good and a defective object: every template filled with every state.

    States hold "{}" where the object's name goes, templates where the state goes.
    """

    normal_states: tuple[str, ...]
    anomalous_states: tuple[str, ...]
    templates: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"PromptEnsemble({len(self.normal_states)} normal and {len(self.anomalous_states)} anomalous "
            f"states, {len(self.templates)} templates)"
        )

    def normal(self, object_name: str) -> list[str]:
        """Sentences of a good object, states first, in the order of the templates.

        >>> PromptEnsemble(("{}", "flawless {}"), (), ("a photo of a {}.",)).normal("nut")
        ['a photo of a nut.', 'a photo of a flawless nut.']
        """
        return self._fill(self.normal_states, object_name)

    def anomalous(self, object_name: str) -> list[str]:
        """Sentences of a defective object."""
        return self._fill(self.anomalous_states, object_name)

    def _fill(self, states: tuple[str, ...], object_name: str) -> list[str]:
        return [template.format(state.format(object_name)) for state in states for template in self.templates]


NORMAL_STATES = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)

# Jeong et al. 2023, "WinCLIP", table 6, in the wording of anomalib 2.7.0 (its "jpeg corrupted photo of the"
# stands twice, where the paper has "a" once).
WINCLIP = PromptEnsemble(
    NORMAL_STATES,
    ("damaged {}", "{} with flaw", "{} with defect", "{} with damage"),
    (
        "a cropped photo of the {}.",
        "a close-up photo of a {}.",
        "a close-up photo of the {}.",
        "a bright photo of a {}.",
        "a bright photo of the {}.",
        "a dark photo of the {}.",
        "a dark photo of a {}.",
        "a jpeg corrupted photo of the {}.",
        "a jpeg corrupted photo of the {}.",
        "a blurry photo of the {}.",
        "a blurry photo of a {}.",
        "a photo of a {}.",
        "a photo of the {}.",
        "a photo of a small {}.",
        "a photo of the small {}.",
        "a photo of a large {}.",
        "a photo of the large {}.",
        "a photo of the {} for visual inspection.",
        "a photo of a {} for visual inspection.",
        "a photo of the {} for anomaly detection.",
        "a photo of a {} for anomaly detection.",
    ),
)

# Chen et al. 2023, "APRIL-GAN": the sentences of the authors' code, its templates in their order there.
APRIL_GAN = PromptEnsemble(
    NORMAL_STATES,
    ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage"),
    (
        "a bad photo of a {}.",
        "a low resolution photo of the {}.",
        "a bad photo of the {}.",
        "a cropped photo of the {}.",
        "a bright photo of a {}.",
        "a dark photo of the {}.",
        "a photo of my {}.",
        "a photo of the cool {}.",
        "a close-up photo of a {}.",
        "a black and white photo of the {}.",
        "a bright photo of the {}.",
        "a cropped photo of a {}.",
        "a jpeg corrupted photo of a {}.",
        "a blurry photo of the {}.",
        "a photo of the {}.",
        "a good photo of the {}.",
        "a photo of one {}.",
        "a close-up photo of the {}.",
        "a photo of a {}.",
        "a low resolution photo of a {}.",
        "a photo of a large {}.",
        "a blurry photo of a {}.",
        "a jpeg corrupted photo of the {}.",
        "a good photo of a {}.",
        "a photo of the small {}.",
        "a photo of the large {}.",
        "a black and white photo of a {}.",
        "a dark photo of a {}.",
        "a photo of a cool {}.",
        "a photo of a small {}.",
        "there is a {} in the scene.",
        "there is the {} in the scene.",
        "this is a {} in the scene.",
        "this is the {} in the scene.",
        "this is one {} in the scene.",
    ),
)
