"""How a model is trained, and presets of it. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.trouble import Usage

UPPER_LIMIT = 100_000  # of any count or size
# Passes over the pictures where a recipe gives no epochs; the number of pictures from which on they
# get fewer; and the fewest steps in all, for small sets.
PASSES, MANY, FEWEST_STEPS = 32, 8000, 240


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes the weights; the defaults are what most recipes share."""

    model: str = "simpleconv3"
    """The network: simpleconv3, committee, resnet8, resnet9, resnet11, resnet17, resnet_pair, or
    any of torchvision's by its name."""
    weights: str = "none"
    """What it starts from: none, DEFAULT (torchvision's pretrained), or a file."""
    freeze: bool = False
    """Train the new last layers only; the rest, batch norm included, stays as it is."""
    unfreeze_at: int = 0
    """Epoch from which a frozen network is trained as a whole; 0 is never."""
    head_hidden: int = 0
    """Units of a hidden layer in the new head; 0 replaces the last layer alone."""
    epochs: int = 0
    """Passes over the training pictures; 0 takes as many as suit their number (`sized`)."""
    patience: int = 0
    """Stop after this many epochs without a better validation score; 0 never stops early."""
    batch: int = 64
    """Pictures a step, over all processes together."""
    optimizer: Literal["sgd", "adam"] = "adam"
    """How gradients become steps."""
    lr: float = 0.002
    """Learning rate: the peak of `one_cycle`, the start of the others."""
    momentum: float = 0.9
    """SGD's momentum."""
    nesterov: bool = True
    """Nesterov's form of it."""
    weight_decay: float = 5e-4
    """L2 penalty on weights (not on biases and batch norm)."""
    schedule: Literal["one_cycle", "step", "constant"] = "one_cycle"
    """Learning rate: up and down once, down by `step_gamma` every `step_epochs`, or level."""
    step_epochs: int = 100
    """Epochs between two drops of schedule `step`."""
    step_gamma: float = 0.1
    """Factor of each drop of schedule `step`."""
    label_smoothing: float = 0.05
    """Share of the target given to the other labels."""
    balance: Literal["none", "weights", "sampler"] = "none"
    """Labels of unequal size: as they are, weighted in the loss, or drawn equally often."""
    side: int = 72
    """Side that crops are brought to once, before anything random; 0 leaves them as they are."""
    input_size: int = 48
    """Side of what the network sees, in pixels."""
    resize: int = 48
    """Side a crop is brought to for validation and prediction, before the centre is taken."""
    normalization: Literal["half", "imagenet"] = "half"
    """Pixel values to [−1, 1], or by ImageNet's mean and deviation."""
    crop_min: float = 0.5
    """Smallest share of the crop's area that training looks at."""
    flip: float = 0.5
    """Chance of a mirror image in training."""
    rotate: float = 10.0
    """Largest random rotation in degrees, before the random crop."""
    colour: float = 0.2
    """Largest random change of brightness, contrast and saturation, as a share."""
    blur: float = 0.0
    """Largest sigma of a random blur, in pixels of the input."""
    erase: float = 0.0
    """Chance that a random rectangle is blanked."""
    flip_test: bool = True
    """Average the answers for a picture and its mirror image in validation and prediction."""
    bfloat16: bool = False
    """Train in bfloat16 on a CPU that has instructions for it; a GPU always does."""

    def __post_init__(self) -> None:
        """Raise Usage for values that no training can use."""
        for name in ("batch", "input_size", "step_epochs"):
            if not 1 <= getattr(self, name) <= UPPER_LIMIT:
                raise Usage(f"{name} must be 1 to {UPPER_LIMIT:,}")
        for name in ("epochs", "patience", "unfreeze_at", "head_hidden", "side", "rotate", "blur"):
            if not 0 <= getattr(self, name) <= UPPER_LIMIT:
                raise Usage(f"{name} must be 0 to {UPPER_LIMIT:,}")
        for name in ("flip", "erase", "colour", "label_smoothing", "weight_decay", "step_gamma"):
            if not 0 <= getattr(self, name) <= 1:
                raise Usage(f"{name} must be 0 to 1")
        if not 0 < self.crop_min <= 1 or not self.lr > 0 or not 0 <= self.momentum < 1:
            raise Usage("crop_min must be over 0 to 1, lr over 0, momentum 0 to under 1")
        if not self.input_size <= self.resize <= UPPER_LIMIT:
            raise Usage(f"resize must be input_size ({self.input_size}) or more")
        if self.nesterov and self.optimizer == "sgd" and not self.momentum:
            raise Usage("nesterov needs a momentum")

    def sized(self, pictures: int) -> Recipe:
        """The recipe with its epochs; where they are 0, as many as suit so many pictures.

        From MANY pictures on, four times the pictures take twice as long.
        """
        if self.epochs:
            return self
        passes = PASSES * min(1.0, MANY / pictures) ** 0.5
        enough = FEWEST_STEPS / math.ceil(pictures / self.batch)
        return replace(self, epochs=math.ceil(max(passes, enough)))

    @property
    def chooses_epoch(self) -> bool:
        """Whether validation chooses the weights that are kept. One cycle ends at its best, and
        choosing among its epochs by few pictures does harm; unless patience ends it anywhere.
        """
        return self.schedule != "one_cycle" or self.patience > 0


# What the published loops have in common: nothing but a random crop and a mirror image.
PLAIN = Recipe(
    optimizer="sgd",
    nesterov=False,
    weight_decay=0.0,
    label_smoothing=0.0,
    side=0,
    crop_min=0.08,
    rotate=0.0,
    colour=0.0,
    flip_test=False,
)
# The whole-face jobs train the new last layers of a frozen pretrained network.
TRANSFER = replace(
    PLAIN,
    weights="DEFAULT",
    freeze=True,
    batch=32,
    schedule="constant",
    input_size=224,
    resize=256,
    normalization="imagenet",
)
# Larger networks, more pixels, and more passes. Training crops show a face larger than it is, so
# prediction looks at the middle of a larger one too.
BEST = Recipe(model="resnet_pair", epochs=50, input_size=56, resize=64, erase=0.25, bfloat16=True)

RECIPES = {
    # Random crops show a face larger than it is, so prediction looks at the middle of a larger one.
    "default": Recipe(model="resnet8", lr=0.003, rotate=0.0, resize=52),
    # The published loop of the none/smile and four-label jobs, to the letter.
    "classic": replace(PLAIN, epochs=300, batch=64, lr=0.1, schedule="step", resize=64),
    # The published seven-label job: the last layer is replaced.
    "mobilenet_v3_small": replace(
        TRANSFER, model="mobilenet_v3_small", epochs=20, optimizer="adam", lr=0.01
    ),
    # The published five-label job (CK+48): new classifier 9216 → 1000 → labels, dropout 0.2.
    "alexnet": replace(
        TRANSFER, model="alexnet", head_hidden=1000, epochs=8, lr=0.003, resize=255, rotate=30.0
    ),
    # Ten minutes on two cores for 3,000 pictures (docs/training.md).
    "best": BEST,
    # For a GPU and tens of thousands of pictures, from nothing.
    "large": replace(
        BEST,
        model="resnet17",
        epochs=120,
        batch=128,
        label_smoothing=0.1,
        crop_min=0.4,
        erase=0.5,
    ),
}
