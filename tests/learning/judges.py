"""Two classifiers, independent of the generators, that label images and compute features for distances.

Neither of them is Inception, so none of their scores is an FID.
"""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH = 250


class Verdict(NamedTuple):
    features: Tensor  # (N, D) float32
    labels: Tensor  # (N,) int64


class Judge(nn.Module):
    """Images (N, C, H, W) in [-1, 1] -> features, and features -> logits of classes."""

    extractor: str  # name of the features in reports

    def features(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def logits(self, features: Tensor) -> Tensor:
        raise NotImplementedError

    @torch.no_grad()
    def look(self, images: Tensor) -> Verdict:
        """The features and the labels of images (N, C, H, W) in [-1, 1], of any size."""
        self.eval()
        features = torch.cat([self.features(part) for part in images.split(BATCH)])
        return Verdict(features, self.logits(features).argmax(1))


class MnistClassifier(Judge):
    """Two convolutions and two linear layers for digits of 28 px; 64 features."""

    extractor = "a small MNIST classifier trained here, 64 features"

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU()),
        )
        self.head = nn.Linear(64, 10)

    def features(self, images: Tensor) -> Tensor:
        return self.body(_resize(images, 28))

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features)


def train_mnist_classifier(images: Tensor, labels: Tensor, *, epochs: int, seed: int) -> MnistClassifier:
    """A classifier of digits (N, 1, 28, 28) in [-1, 1] with labels (N,) int64."""
    torch.manual_seed(seed)
    judge = MnistClassifier()
    optimizer = torch.optim.Adam(judge.parameters())
    batches = [rows for _ in range(epochs) for rows in torch.randperm(len(images)).split(100)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=len(batches))
    for rows in batches:
        optimizer.zero_grad()
        F.cross_entropy(judge.logits(judge.features(images[rows])), labels[rows]).backward()
        optimizer.step()
        schedule.step()
    return judge.eval()


class Resnet20(Judge):
    """ResNet-20 for CIFAR (arXiv:1512.03385, section 4.2) with shortcuts of option A; 64 features.

    Images of another size are scaled to 32 px.
    """

    extractor = "a ResNet-20 trained on CIFAR-10, at 32 px, 64 pooled features"

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(_Block(16, 16), _Block(16, 16), _Block(16, 16))
        self.layer2 = nn.Sequential(_Block(16, 32), _Block(32, 32), _Block(32, 32))
        self.layer3 = nn.Sequential(_Block(32, 64), _Block(64, 64), _Block(64, 64))
        self.linear = nn.Linear(64, 10)

    def features(self, images: Tensor) -> Tensor:
        # the mean and deviation of ImageNet, with which this classifier was trained
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        x = ((_resize(images, 32) + 1) / 2 - mean) / deviation
        x = F.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        return self.linear(features)


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters; more channels go with half the side."""

    def __init__(self, in_nc: int, out_nc: int) -> None:
        super().__init__()
        self.stride, self.new_nc = (1, 0) if in_nc == out_nc else (2, out_nc - in_nc)
        self.conv1 = nn.Conv2d(in_nc, out_nc, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_nc)
        self.conv2 = nn.Conv2d(out_nc, out_nc, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_nc)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        # option A: every second pixel, and half of the new channels of zeros on either side
        shortcut = F.pad(
            x[..., :: self.stride, :: self.stride], (0, 0, 0, 0, self.new_nc // 2, self.new_nc // 2)
        )
        return F.relu(y + shortcut)


def load_resnet20(path: Path) -> Resnet20:
    """The classifier from a checkpoint of a DataParallel network."""
    saved = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    judge = Resnet20()
    judge.load_state_dict({name.removeprefix("module."): value for name, value in saved.items()})
    return judge.eval()


def _resize(images: Tensor, side: int) -> Tensor:
    """(N, C, H, W) -> (N, C, side, side)."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
