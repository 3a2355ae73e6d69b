"""No type of the causal-LM table is refused for the name of its class."""

from __future__ import annotations

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from interp_assert.errors import ModelRefused
from interp_assert.models.families.architectures import refuse_unopenable

from .builder import TYPES


@pytest.mark.parametrize("model_type", TYPES)
def test_the_class_of_its_own_head_is_one_of_a_language_model(model_type: str) -> None:
    config = {"model_type": model_type, "architectures": [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]]}
    refuse_unopenable(config, "here", trust_remote_code=False)


def test_another_head_of_the_same_type_is_not() -> None:
    with pytest.raises(
        ModelRefused, match="saved without a causal language-model head, which is what BertGenerationDecoder has"
    ):
        refuse_unopenable(
            {"model_type": "bert-generation", "architectures": ["BertGenerationEncoder"]},
            "here",
            trust_remote_code=False,
        )
