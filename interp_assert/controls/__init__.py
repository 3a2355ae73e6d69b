"""What a score is worth: the same measurement where what is claimed cannot be there."""

from __future__ import annotations

from .bag_of_words import bag_of_words, count_words, fit_words
from .by_document import BetterByDocument
from .diff_of_means import not_worse_than_diff_of_means
from .embedding import embedding_layer, embedding_site
from .frozen_decoder import frozen_decoder_control, with_frozen_decoder
from .paired import PairedControl, control_levels
from .pca import pca_control, principal_components
from .random_directions import DIRECTIONS, beats_directions, norm_matched
from .random_weights import random_weights
from .sequences import shuffled, unrepeated
from .shuffled_labels import shuffle_labels, shuffled_labels
from .targets import decoy_targets, shuffled_targets
from .twin_score import TWIN_MARGIN, TwinScale, TwinScore

__all__ = [
    "DIRECTIONS",
    "TWIN_MARGIN",
    "BetterByDocument",
    "PairedControl",
    "TwinScale",
    "TwinScore",
    "bag_of_words",
    "beats_directions",
    "control_levels",
    "count_words",
    "decoy_targets",
    "embedding_layer",
    "embedding_site",
    "fit_words",
    "frozen_decoder_control",
    "norm_matched",
    "not_worse_than_diff_of_means",
    "pca_control",
    "principal_components",
    "random_weights",
    "shuffle_labels",
    "shuffled",
    "shuffled_labels",
    "shuffled_targets",
    "unrepeated",
    "with_frozen_decoder",
]
