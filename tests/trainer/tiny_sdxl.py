"""A random-weight pipeline of the SDXL classes, a few hundred kilobytes, for plumbing tests."""

from pathlib import Path

from tests.trainer.people import heavy
from training.trainer.base import identity_vae, portraits, tokenizer


def save_tiny_sdxl(folder: Path) -> None:
    """Write the diffusers folder."""
    diffusers, transformers = heavy("diffusers"), heavy("transformers")
    heavy("torch").manual_seed(0)
    words = tokenizer.build(portraits.vocabulary())
    text = transformers.CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.MAX_TOKENS,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        projection_dim=32,
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )
    pipe = diffusers.StableDiffusionXLPipeline(
        vae=identity_vae.build(),
        text_encoder=transformers.CLIPTextModel(text),
        text_encoder_2=transformers.CLIPTextModelWithProjection(text),
        tokenizer=words,
        tokenizer_2=words,
        unet=unet,
        scheduler=diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False),
        add_watermarker=False,
    )
    pipe.save_pretrained(folder, safe_serialization=True)
