"""What a type needs besides small sizes: settings by dotted path into its config, and the types that no text alone
runs.
"""

from __future__ import annotations

from typing import Any

from .sizes import HEAD_DIM, HEADS, KV_HEADS, LAYERS, VOCAB, D

_PLAIN_ROPE = {"rope_type": "default", "rope_theta": 1e4}
_TWICE_EACH = {"layer_types": ["linear_attention", "full_attention"] * 2}
_DOTS3_TEXT: dict[str, Any] = {
    "swa_num_attention_heads": HEADS,
    "swa_num_key_value_heads": HEADS,
    "swa_q_lora_rank": 16,
    "swa_kv_lora_rank": 16,
    "swa_head_dim": 16,
    "swa_qk_nope_head_dim": 8,
    "swa_v_head_dim": 8,
    "index_head_dim": 8,
    "head_dim": 16,
    "qk_rope_head_dim": 8,
    "shared_experts_intermediate_size": 48,
    "layer_types": ["indexed_attention", "sliding_attention"] * 2,
}
_QWEN4_TEXT: dict[str, Any] = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": HEAD_DIM,
    "indexer_budget": 4,
    "indexer_compress_ratio": 2,
}


def _inside(sub_config: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {f"{sub_config}.{name}": value for name, value in settings.items()}


SETTINGS: dict[str, dict[str, Any]] = {
    # kinds of layers that have no default list, or one that would leave a kind out
    "gpt_neo": {"attention_types": [[["global", "local"], LAYERS // 2]]},
    "granitemoehybrid": _TWICE_EACH,
    "jamba": {"attn_layer_period": 3, "attn_layer_offset": 1, "mamba_dt_rank": 4},
    "bamba": {"attn_layer_indices": [1]},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2, "block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "zaya": {
        "layer_types": ["hybrid", "hybrid_sliding"] * 2,
        "num_experts_per_tok": 1,
        "router_hidden_size": 16,
        "sliding_window": 6,
    },
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "n_mamba_heads": 2,
        "num_key_value_heads": HEADS,
    },
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "num_key_value_heads": HEADS,
        "num_query_groups": HEADS,
    },
    "cohere_compass_text": {
        "logit_scale": 0.5,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {"sliding_attention": _PLAIN_ROPE, "full_attention": _PLAIN_ROPE},
    },
    # later layers that reuse the keys and values of earlier ones
    "gemma3n_text": {"num_kv_shared_layers": 2},
    "gemma3n": {
        "text_config.num_kv_shared_layers": 2,
        "vision_config.architecture": "mobilenetv3_small_050",
        "audio_config.sscp_conv_channel_size": [8, 8],
    },
    "gemma4_text": {"num_kv_shared_layers": 2, "global_head_dim": 16, "final_logit_softcapping": 3.0},
    "gemma4": {"text_config.num_kv_shared_layers": 2, "text_config.global_head_dim": 16},
    "gemma4_unified_text": {"global_head_dim": 16},
    "gemma4_unified": {"text_config.global_head_dim": 16},
    # needed, and None by default
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "hunyuan_v1_dense": {"head_dim": HEAD_DIM},
    "hunyuan_v1_moe": {"head_dim": HEAD_DIM, "moe_topk": [2] * LAYERS},
    "ministral": {"head_dim": HEAD_DIM},
    "nemotron": {"num_key_value_heads": KV_HEADS},
    "xmod": {"default_language": "en_XX"},
    "qwen4_exp_text": _QWEN4_TEXT,
    "qwen4_exp": _inside("text_config", _QWEN4_TEXT),
    "dots3_note_text": _DOTS3_TEXT,
    "dots3_note": {
        **_inside("text_config", _DOTS3_TEXT),
        "vision_config.adapter_in_dim": D,
        "vision_config.adapter_out_dim": D,
        "audio_config.adapter_input_size": D,
        "audio_config.adapter_out_dim": D,
    },
    "dbrx": {
        "attn_config.rope_theta": 1e4,
        "attn_config.clip_qkv": 8.0,
        "attn_config.kv_n_heads": KV_HEADS,
        "ffn_config.hidden_size": D,
        "ffn_config.moe_top_k": 2,
    },
    "reformer": {
        "is_decoder": True,
        "axial_pos_shape": [4, 16],
        "axial_pos_embds_dim": [8, 24],
        "local_attn_chunk_length": 4,
        "lsh_attn_chunk_length": 4,
        "num_buckets": 2,
        "hash_seed": 0,
    },
    # sizes tied to one another
    "mamba2": {"num_heads": 2 * D // HEAD_DIM},
    "xlstm": {"hidden_size": 64, "embedding_dim": 64, "qk_dim_factor": 1.0, "ffn_round_up_to_multiple_of": 16},
    "got_ocr2": {
        "vision_config.output_channels": 8,
        "vision_config.image_size": 64,
        "vision_config.patch_size": 16,
        "vision_config.global_attn_indexes": [1],
    },
    "phi4_multimodal": {
        "audio_config.nemo_conv_channels": 8,
        "audio_config.ext_pw_out_channel": D,
        "audio_config.depthwise_separable_out_channel": D,
    },
    # what is odd about a type, brought into a few layers
    "rwkv": {"rescale_every": 2},
    "mllama": {"text_config.cross_attention_layers": [1]},
    "inkling_text": {"unpadded_vocab_size": VOCAB - 8},
    "inkling2_text": {
        "unpadded_vocab_size": VOCAB - 8,
        "n_layers_per_attn_res_block": 2,
        "layer_types": ["hybrid_sliding", "hybrid"] * 2,
    },
    "glm_moe_dsa": {"indexer_types": ["full", "shared"] * 2},
    "longcat_flash": {"zero_expert_num": 2},
    "minimax": {"full_attn_alpha_factor": 2, "linear_attn_beta_factor": 2, "mlp_alpha_factor": 2},
    "deepseek_v4": {
        "mlp_layer_types": ["hash_moe", "hash_moe", "moe", "moe"],
        "compress_rates": {"compressed_sparse_attention": 2, "heavily_compressed_attention": 4},
    },
    "blt": {
        "use_cache": False,
        "encoder_config.hidden_size_global": D,
        "decoder_config.hidden_size_global": D,
        "encoder_config.num_hidden_layers": 2,
        "decoder_config.num_hidden_layers": 3,
        "encoder_hash_byte_group_vocab": 64,
        "encoder_hash_byte_group_size": [3, 4],
    },
}

NOT_TEXT_ONLY = {
    "gemma4_assistant": "a drafter: its forward pass needs the embeddings and the keys and values of another model",
    "gemma4_unified_assistant": "a drafter: its forward pass needs the embeddings and the keys and values of another "
    "model",
    "musicgen": "reads codes of sound, one row for each codebook; its config in the table builds no causal model",
    "musicgen_melody": "reads codes of sound, one row for each codebook; its config in the table builds no causal "
    "model",
}
"""Types of the causal-LM table that do not run on token ids alone, and why."""
