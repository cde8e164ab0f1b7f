"""Make the tiny base: draw portraits of nobody, train a small UNet and text encoder, save.

    python -m training.trainer.base.make_base --work SCRATCH [--out FOLDER] [--steps 3000]

About 15 CPU minutes on one thread. `--work` holds a resumable checkpoint; running the same command
again goes on from there. The result is an ordinary diffusers folder in half precision, a few
megabytes, with its card. Nothing here reads anything but this repository: no network, no picture
of anybody.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from training.trainer.base import identity_vae, portraits, tokenizer
from training.trainer.base.card import write_card

SEED = 20260101
SIZE = 32
PICTURES = 6000
BATCH = 8
PEAK_LR = 1.2e-3
WARMUP = 100
EMA = 0.995
FOLDER = Path(__file__).parent / "kyodaku-tiny"


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, train (or go on), save; 0 when the folder is complete."""
    parser = argparse.ArgumentParser(description="Make the tiny base model.")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder, resumable")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=3000)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    pipe = build_pipeline()
    cpu = train(pipe, args.steps, args.work)
    save(pipe, args.out)
    write_card(args.out, steps=args.steps, cpu_seconds=cpu)
    _say(f"saved {sum(f.stat().st_size for f in args.out.rglob('*') if f.is_file())} bytes")
    return 0


def build_pipeline() -> Any:
    """The whole pipeline with fresh weights from the fixed seed."""
    torch.manual_seed(SEED)
    words = tokenizer.build(portraits.vocabulary())
    encoder = CLIPTextModel(_text_config(words))
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(10.0)  # words stand out from their positions
    return StableDiffusionPipeline(
        vae=identity_vae.build(),
        text_encoder=encoder,
        tokenizer=words,
        unet=_unet(),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _text_config(words: Any) -> Any:
    return CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.MAX_TOKENS,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        projection_dim=64,
    )


def _unet() -> Any:
    return UNet2DConditionModel(
        sample_size=SIZE,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(24, 48, 96),
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=4,
        # Pooled text joins the time embedding: cross-attention alone learned nothing in this time.
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
        norm_num_groups=8,
    )


def _scheduler() -> Any:
    """Velocity prediction: at this size colours of large areas come out cleaner than with noise."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
        prediction_type="v_prediction",
    )


def draw_set(count: int, seed: int) -> tuple[Any, list[tuple[str, str]]]:
    """`count` pictures as a uint8 tensor (count, 3, 32, 32) and their (full, plain) captions."""
    rng = np.random.default_rng(seed)
    pixels, captions = [], []
    for _ in range(count):
        person, scene = portraits.any_person(rng), portraits.any_scene(rng)
        pixels.append(np.asarray(portraits.draw(person, scene, SIZE)))
        captions.append((portraits.caption(person, scene), "a photo of a person"))
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), captions


def train(pipe: Any, steps: int, work: Path) -> float:
    """Train UNet and text encoder together; leaves the averaged weights in `pipe`; CPU seconds."""
    pixels, captions = draw_set(PICTURES, SEED)
    _say(f"drew {PICTURES} pictures, {time.process_time():.0f} CPU s")
    modules = torch.nn.ModuleDict({"unet": pipe.unet, "text": pipe.text_encoder})
    _say(f"{ {k: sum(p.numel() for p in m.parameters()) for k, m in modules.items()} }")
    optimizer = torch.optim.AdamW(modules.parameters(), lr=PEAK_LR, weight_decay=1e-2)
    average = {k: v.detach().clone() for k, v in modules.state_dict().items()}
    dice = torch.Generator().manual_seed(SEED)
    state = {"step": 0, "cpu": 0.0}
    _resume(work, modules, optimizer, average, dice, state)
    began, loss_mean = time.process_time() - state["cpu"], None
    modules.train()
    for step in range(int(state["step"]), steps):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, steps)
        loss = _loss(pipe, pixels, captions, dice)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimizer.step()
        _average(average, modules, step)
        loss_mean = loss.item() if loss_mean is None else 0.98 * loss_mean + 0.02 * loss.item()
        if (step + 1) % 25 == 0:
            spent = time.process_time() - began
            _say(f"step {step + 1}/{steps} loss {loss_mean:.4f} cpu {spent:.0f}s")
        if (step + 1) % 200 == 0 or step + 1 == steps:
            state = {"step": step + 1, "cpu": time.process_time() - began}
            _checkpoint(work, modules, optimizer, average, dice, state)
    modules.load_state_dict(average)
    modules.eval()
    return float(state["cpu"])


def _learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a twentieth."""
    if step < WARMUP:
        return PEAK_LR * (step + 1) / WARMUP
    turn = np.pi * (step - WARMUP) / max(1, steps - WARMUP)
    return float(PEAK_LR * (0.05 + 0.95 * 0.5 * (1 + np.cos(turn))))


def _loss(pipe: Any, pixels: Any, captions: list[tuple[str, str]], dice: Any) -> Any:
    """Velocity loss of one random batch; captions are full 65 %, plain 25 %, empty 10 %."""
    picks = torch.randint(len(pixels), (BATCH,), generator=dice)
    turns = torch.rand(BATCH, generator=dice).tolist()
    texts = [_text(captions[i], turn) for i, turn in zip(picks.tolist(), turns, strict=True)]
    latents = (pixels[picks].float() / 127.5 - 1.0) * identity_vae.SCALING
    noise = torch.randn(latents.shape, generator=dice)
    times = torch.randint(1000, (BATCH,), generator=dice)
    ids = pipe.tokenizer(
        texts, padding="max_length", truncation=True, max_length=tokenizer.MAX_TOKENS,
        return_tensors="pt",
    ).input_ids  # fmt: skip
    words = pipe.text_encoder(ids)[0]
    noisy = pipe.scheduler.add_noise(latents, noise, times)
    target = pipe.scheduler.get_velocity(latents, noise, times)
    return torch.nn.functional.mse_loss(pipe.unet(noisy, times, words).sample, target)


def _text(both: tuple[str, str], turn: float) -> str:
    return both[0] if turn < 0.65 else both[1] if turn < 0.9 else ""


def _average(average: dict[str, Any], modules: Any, step: int) -> None:
    """Exponential moving average whose memory grows with the number of steps."""
    keep = min(EMA, (1 + step) / (10 + step))
    for name, value in modules.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - keep)


def _checkpoint(
    work: Path, modules: Any, optimizer: Any, average: Any, dice: Any, state: Any
) -> None:
    part, full = work / "base.pt.part", work / "base.pt"
    parts = {
        "modules": modules.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average,
        "dice": dice.get_state(),
        "state": state,
    }
    torch.save(parts, part)
    os.replace(part, full)  # a crash before this line leaves the previous checkpoint whole


def _resume(
    work: Path, modules: Any, optimizer: Any, average: Any, dice: Any, state: dict[str, float]
) -> None:
    full = work / "base.pt"
    if not full.exists():
        return
    saved = torch.load(full, weights_only=True)
    modules.load_state_dict(saved["modules"])
    optimizer.load_state_dict(saved["optimizer"])
    average.update(saved["average"])
    dice.set_state(saved["dice"])
    state.update(saved["state"])
    _say(f"going on from step {int(state['step'])}")


def save(pipe: Any, out: Path) -> None:
    """Write the diffusers folder: UNet and text encoder in fp16, the identity VAE in fp32."""
    pipe.unet.half()
    pipe.text_encoder.half()
    pipe.save_pretrained(out, safe_serialization=True)
    for path in out.rglob("*.safetensors"):
        path.chmod(0o644)  # written for the owner alone, but other users' workers read them


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
