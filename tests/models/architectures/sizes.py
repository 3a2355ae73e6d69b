"""How large a tiny model is: for every name that configs use, the small value that takes the default's place."""

from __future__ import annotations

from fnmatch import fnmatchcase

LAYERS = 4
VOCAB = 160
D = 32
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 8
CONTEXT = 64
INNER = 48
WINDOW = 6

_SIZES: tuple[tuple[int, str], ...] = (
    (LAYERS, "num_hidden_layers num_layers num_blocks num_decoder_layers decoder_layers n_layer n_layers"),
    # one more than the decoder's: the BART family's num_hidden_layers is an alias of encoder_layers
    (LAYERS + 1, "encoder_layers num_encoder_layers"),
    (2, "depth *_hidden_layers *_num_layers num_global_layers"),
    (D, "hidden_size d_model n_embd emb_dim embed_dim embedding_dim embedding_size word_embed_proj_dim"),
    (D, "input_embedding_size output_embedding_size backbone_hidden_size out_hidden_size output_dim lru_width"),
    (INNER, "intermediate_size *_intermediate_size intermediate_size_mlp ffn_dim *_ffn_dim n_inner mlp_dim"),
    (INNER, "ffn_hidden_size *_ffn_hidden_size feed_forward_size d_inner d_ff dff dim_ff"),
    (KV_HEADS, "num_key_value_heads *_key_value_heads num_kv_heads *_kv_heads kv_n_heads num_query_groups"),
    (HEADS, "num_attention_heads *_attention_heads attention_heads num_heads n_head n_heads n_mamba_heads"),
    (HEADS, "linear_num_heads linear_num_key_heads linear_num_value_heads"),
    (2 * D // HEAD_DIM, "mamba_n_heads mamba_num_heads"),
    (HEAD_DIM, "head_dim *_head_dim d_head mamba_d_head mamba_headdim dim_head kv_channels rotary_dim"),
    (HEAD_DIM, "attention_head_size hidden_size_per_layer_input laurel_rank gated_norm_rank hc_lowrank"),
    (16, "*_lora_rank"),
    (2 * D, "mamba_d_ssm"),
    (8, "state_size ssm_state_size mamba_d_state chunk_size mamba_chunk_size"),
    (4, "time_step_rank mamba_dt_rank"),
    (4, "num_experts n_routed_experts num_local_experts moe_num_experts"),
    (2, "num_experts_per_tok num_experts_per_token moe_k moe_topk moe_top_k top_k_experts"),
    (1, "n_group topk_group num_expert_group n_shared_experts num_shared_experts moe_num_shared_experts"),
    (1, "first_k_dense_replace num_dense_layers"),
    (4, "index_topk index_topk_blocks"),
    (2, "index_n_heads"),
    (VOCAB, "vocab_size *_vocab_size vocab_size_*"),
    (CONTEXT, "max_position_embeddings *_max_position_embeddings max_seq_len model_max_length context_length"),
    (CONTEXT, "n_positions n_ctx max_target_positions max_source_positions"),
    (WINDOW, "sliding_window sliding_window_size window_size attention_window_size local_attention"),
    (WINDOW, "attention_chunk_size local_attention_window_len"),
    (0, "num_nextn_predict_layers"),
)
_KEPT = ("type_vocab_size", "task_type_vocab_size", "num_layers_per_stack")

VISIBLE = {
    "logits_scaling": 2.0,
    "residual_multiplier": 0.5,
    "embedding_multiplier": 3.0,
    "lm_head_multiplier": 0.5,
    "attention_out_multiplier": 0.5,
    "ssm_out_multiplier": 0.25,
    "final_logit_softcapping": 3.0,
    "logits_soft_cap": 3.0,
    "output_logit_soft_cap": 3.0,
    "logits_mup_width_multiplier": 2.0,
}
"""Scales and caps that do nothing by default, made visible: a reader that forgets one is caught."""

KINDS_PER_LAYER = ("layer_types", "mlp_layer_types", "indexer_types", "layers_block_type", "attn_layers")
"""Lists that name a kind for each layer; each kind of the default appears in the tiny model."""

RECOMPUTED = (
    "attention_layers",
    "attention_hidden_size",
    "attention_head_dim",
    "qk_head_dim",
    "full_attn_idxs",
    "moe_layers",
    "no_rope_layers",
    "layer_rope_theta",
    "num_attention_heads_per_layer",
    "activation_sparsity_pattern",
    "hybrid_layer_ids",
)
"""Values that a config works out from others, and would not if they were given."""


def size_of(name: str) -> int | None:
    """The tiny size of a config's attribute; None for one that is no size."""
    if name in _KEPT:
        return None
    for size, patterns in _SIZES:
        if any(fnmatchcase(name, pattern) for pattern in patterns.split()):
            return size
    return None
