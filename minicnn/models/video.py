"""Video: a convolutional net sees the frames, a recurrent one their order (Donahue et al., 2014).

    frame 1 -> CNN -> features -> LSTM
    frame 2 -> CNN -> features -> LSTM       one CNN for all frames;
    ...                            |         the LSTM's state goes from frame to frame
    frame T -> CNN -> features -> LSTM -> fc, K

The CNN is a classifier without its last layer. With VGG-16 and two frames a second, a minute is 120
vectors of 4,096 features. What a single frame shows, such as which digit, needs no LSTM; where it
is going does.
"""

from __future__ import annotations

from minicnn.models.blocks import classifier
from minicnn.models.localization import cut_head
from minicnn.models.registry import Model
from minicnn.models.resnet_cifar import CifarResNet
from minicnn.nn import LSTM, Module


class VideoClassifier(Module):
    """Scores of clips: (N, T, C, H, W) to (N, K).

    Parameters
    ----------
    backbone : Module
        A classifier of images; its last layer is cut off.
    num_classes : int
        K.
    hidden : int
        Numbers in the LSTM's state.
    """

    def __init__(self, backbone, num_classes, hidden=64):
        super().__init__()
        self.backbone = backbone
        self.lstm = LSTM(cut_head(backbone), hidden, batch_first=True)
        self.fc = classifier(hidden, num_classes)

    def features(self, x):
        """The frames' features: (N, T, C, H, W) to (N, T, F)."""
        if x.ndim != 5:
            raise ValueError(
                f"VideoClassifier: input expects clips (N, T, C, H, W), but has {x.shape}; for "
                "single images, T is 1"
            )
        N, T, *image = x.shape
        return self.backbone(x.reshape(N * T, *image)).reshape(N, T, -1)

    def forward(self, x):
        _, (state, _) = self.lstm(self.features(x))
        return self.fc(state[-1])


# ---------------------------------------------------------------------------
# Registry
# ---------------------------------------------------------------------------
def cnn_lstm(num_classes=10, in_channels=1, hidden=64) -> VideoClassifier:
    """A small net for clips of small images: CIFAR's ResNet-20, and an LSTM."""
    backbone = CifarResNet(20, in_channels=in_channels)
    return VideoClassifier(backbone, num_classes, hidden)


PAPER = (
    "Donahue et al., Long-term recurrent convolutional networks for visual recognition and "
    "description, 2014"
)
MODELS = [
    Model(
        cnn_lstm, PAPER, (8, 1, 32, 32), (5, 1, 40, 40), 302_714,
        "269,434 - 650 of the ResNet-20 of one input channel, 33,280 of the LSTM, 650",
        task="video",
    ),
]  # fmt: skip
