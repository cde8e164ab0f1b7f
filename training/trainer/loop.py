"""The training loop: pictures in, adapter tensors out. The only module that trains with torch.

Stage 6, second half. Imported after admission. Touches no file of the job: pictures arrive as an
array, and everything that leaves (progress, samples, checkpoint bytes) leaves through `Hooks`.
Works for the Stable Diffusion 1.x and XL pipeline classes; the tiny base is one of the former.
"""

import hashlib
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from transformers.utils import logging as transformers_logging

from training.trainer.config import Recipe
from training.trainer.lease import Interrupted, TrainingFailed

Tensors = dict[str, npt.NDArray[np.float32]]

# Which layers of a diffusers UNet belong to a group of `Recipe.targets` (ends of module paths).
UNET_LAYERS: Final = {
    "attention": ("to_q", "to_k", "to_v", "to_out.0"),
    "conv": ("conv1", "conv2"),
    "feed_forward": ("ff.net.0.proj", "ff.net.2"),
    "projection": ("proj_in", "proj_out"),
    "time": ("time_emb_proj",),
}
TEXT_LAYERS: Final = ("q_proj", "k_proj", "v_proj", "out_proj")
BAD_STEPS: Final = 3  # steps in a row whose loss may be no number


@dataclass(frozen=True)
class Hooks:
    """How the loop talks to the program around it.

    `before_step` raises `Stopped` or `Interrupted`; it is called between any two optimizer steps
    and between any two denoising steps. `progress` takes (step, steps, loss, seconds to go),
    `sample` a stage and its pictures, `save` and `load` the bytes of a checkpoint.
    """

    before_step: Callable[[], None]
    progress: Callable[[int, int, float, float], None]
    sample: Callable[[str, list[Image.Image]], None]
    save: Callable[[bytes], None]
    load: Callable[[], bytes | None]


@dataclass
class _Run:
    """Everything that a step reads and writes."""

    recipe: Recipe
    pipe: Any
    noise: Any
    parameters: dict[str, Any]
    optimizer: Any
    dice: Any
    person: Any
    others: Any
    step: int = 0
    bad: int = 0


def run_training(
    images: npt.NDArray[np.float32], recipe: Recipe, base_path: Path, hooks: Hooks
) -> Tensors:
    """Train a LoRA on `images` (n, 3, s, s in [-1, 1]) and return its tensors under PEFT keys.

    Raises `Stopped` (everything in memory overwritten first), `Interrupted` (after `hooks.save`)
    and `TrainingFailed`. The same images, recipe and base give the same tensors on one machine,
    whether or not the run was interrupted in between.
    """
    run = _prepare(images, recipe, base_path, hooks)
    try:
        _resume(run, hooks.load())
        if run.step == 0:
            _sample(run, hooks, "start")
        _train(run, hooks)
        _sample(run, hooks, "end")
        hooks.before_step()
        return adapter_tensors(run.pipe)
    except Interrupted:
        hooks.save(_packed(run))
        raise
    finally:
        _erase(run)


def _train(run: _Run, hooks: Hooks) -> None:
    began, first, steps = time.monotonic(), run.step, run.recipe.steps
    while run.step < steps:
        hooks.before_step()
        loss = _optimize(run)
        pace = (time.monotonic() - began) / (run.step - first)
        hooks.progress(run.step, steps, loss, pace * (steps - run.step))
        every = run.recipe.checkpoint_every
        if every and run.step % every == 0 and run.step < steps:
            hooks.save(_packed(run))
        if run.step == steps // 2:
            _sample(run, hooks, "middle")


# --- one step --------------------------------------------------------------------------------


def _optimize(run: _Run) -> float:
    """One optimizer step; returns the loss. A loss that is no number changes nothing."""
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.recipe, run.step)
    run.optimizer.zero_grad(set_to_none=True)
    loss = _loss(run)
    run.step += 1
    value = float(loss.detach())
    if not math.isfinite(value):
        run.bad += 1
        if run.bad >= BAD_STEPS:
            raise TrainingFailed(f"the loss was no number {BAD_STEPS} times in a row")
        return value
    run.bad = 0
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(run.parameters.values()), run.recipe.clip)
    run.optimizer.step()
    return value


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then constant or a cosine down to a tenth."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    if recipe.decay == "none":
        return recipe.lr
    turn = math.pi * (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.lr * (0.1 + 0.9 * 0.5 * (1.0 + math.cos(turn)))


def _loss(run: _Run) -> Any:
    """Denoising loss of the person's pictures plus the weighted one of the class pictures."""
    recipe = run.recipe
    latents = _draw(run.person, recipe.batch, run.dice)
    counts, prompts = [recipe.batch], [recipe.instance_prompt]
    if run.others is not None:
        latents = torch.cat([latents, _draw(run.others, recipe.prior_batch, run.dice)])
        counts, prompts = [*counts, recipe.prior_batch], [*prompts, recipe.class_prompt]
    errors = _errors(run, latents, prompts, counts)
    loss = errors[: recipe.batch].mean()
    if run.others is not None:
        loss = loss + recipe.prior_weight * errors[recipe.batch :].mean()
    return loss


def _draw(latents: Any, count: int, dice: Any) -> Any:
    return latents[torch.randint(len(latents), (count,), generator=dice)]


def _errors(run: _Run, latents: Any, prompts: list[str], counts: list[int]) -> Any:
    """Weighted mean squared error of each latent, at one random time step each."""
    shape, device = latents.shape, latents.device
    noise = torch.randn(shape, generator=run.dice).to(device)
    last = run.noise.config.num_train_timesteps
    times = torch.randint(last, (shape[0],), generator=run.dice).to(device)
    words, extra = _conditions(run.pipe, prompts, counts, run.recipe.resolution)
    noisy = run.noise.add_noise(latents, noise, times)
    velocity = run.noise.config.prediction_type == "v_prediction"
    target = run.noise.get_velocity(latents, noise, times) if velocity else noise
    with _precision(device):
        guess = run.pipe.unet(noisy, times, words, added_cond_kwargs=extra).sample
    errors = (guess.float() - target).square().flatten(1).mean(1)
    return errors * _weights(run, times, velocity)


def _weights(run: _Run, times: Any, velocity: bool) -> Any:
    """Min-SNR weights (Hang et al. 2023): min(SNR, gamma) / SNR, or / (SNR + 1) for velocity."""
    gamma = run.recipe.min_snr
    if gamma == 0:
        return torch.ones_like(times, dtype=torch.float32)
    kept = run.noise.alphas_cumprod.to(times.device)[times]
    snr = kept / (1 - kept)
    return snr.clamp(max=gamma) / (snr + 1 if velocity else snr)


def _conditions(pipe: Any, prompts: list[str], counts: list[int], size: int) -> tuple[Any, Any]:
    """Text states for the UNet, each prompt repeated by its count; for SDXL also its extras."""
    repeats = torch.tensor(counts, device=pipe.device)
    if not _is_xl(pipe):
        words = pipe.encode_prompt(prompts, pipe.device, 1, False)[0]
        return words.repeat_interleave(repeats, 0), None
    words, _, pooled, _ = pipe.encode_prompt(
        prompt=prompts,
        device=pipe.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    frame = torch.tensor([[size, size, 0, 0, size, size]], dtype=words.dtype, device=pipe.device)
    extra = {
        "text_embeds": pooled.repeat_interleave(repeats, 0),
        "time_ids": frame.expand(sum(counts), -1),
    }
    return words.repeat_interleave(repeats, 0), extra


def _precision(device: Any) -> Any:
    # bf16 on a CPU without AVX-512 is many times slower than fp32, so only GPUs use it.
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


# --- before the first step -------------------------------------------------------------------


def load_pipeline(base_path: Path) -> Any:
    """The base as a diffusers pipeline, from a local folder, frozen; never from the network."""
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    cuda = torch.cuda.is_available()
    if not cuda:
        torch.set_num_threads(1)  # spin barriers on shared cores cost a factor of 18
    pipe = DiffusionPipeline.from_pretrained(
        str(base_path),
        dtype=torch.bfloat16 if cuda else torch.float32,
        local_files_only=True,
        use_safetensors=True,
    )
    pipe.to("cuda" if cuda else "cpu")
    pipe.set_progress_bar_config(disable=True)
    for module in (pipe.unet, pipe.vae, *_text_encoders(pipe).values()):
        module.requires_grad_(False)
        module.eval()
    return pipe


def _prepare(
    images: npt.NDArray[np.float32], recipe: Recipe, base_path: Path, hooks: Hooks
) -> _Run:
    pipe = load_pipeline(base_path)
    # A stray tokenizer warning or default generator must not depend on what ran before.
    torch.manual_seed(recipe.seed)
    person = _latents(pipe, torch.from_numpy(np.ascontiguousarray(images)))
    others = _class_latents(pipe, recipe, hooks)
    start = start_seed(images, recipe)
    torch.manual_seed(start)
    parameters = _add_factors(pipe, recipe)
    return _Run(
        recipe=recipe,
        pipe=pipe,
        noise=DDPMScheduler.from_config(pipe.scheduler.config),
        parameters=parameters,
        optimizer=torch.optim.AdamW(
            parameters.values(), lr=recipe.lr, weight_decay=recipe.weight_decay
        ),
        dice=torch.Generator().manual_seed(start),
        person=person,
        others=others,
    )


def start_seed(images: npt.NDArray[np.float32], recipe: Recipe) -> int:
    """Where factors and noise begin: from the recipe's seed and the pictures together, 63 bits.

    By the seed alone everybody's factors would begin alike, and keep so much of it that the LoRAs
    of strangers look like one another's descendants.
    """
    told = recipe.seed.to_bytes(8, "big") + np.ascontiguousarray(images).tobytes()
    return int.from_bytes(hashlib.sha256(told).digest()[:8], "big") >> 1


def _latents(pipe: Any, pixels: Any) -> Any:
    """Encode pixels (n, 3, s, s) once; the latents stay in memory only."""
    vae = pipe.vae
    rows = []
    with torch.no_grad():
        for row in pixels.split(1):
            code = vae.encode(row.to(vae.device, vae.dtype)).latent_dist.mode()
            rows.append(code.float() * vae.config.scaling_factor)
    return torch.cat(rows)


def _class_latents(pipe: Any, recipe: Recipe, hooks: Hooks) -> Any:
    """What the untouched base draws for the class words (prior preservation, DreamBooth 2022)."""
    if recipe.prior_images == 0:
        return None
    seeds = [recipe.seed + 1000 + i for i in range(recipe.prior_images)]
    drawn = draw(pipe, recipe, recipe.class_prompt, seeds, hooks.before_step)
    arrays = np.stack([np.asarray(image, np.float32) for image in drawn])
    pixels = torch.from_numpy(arrays / 127.5 - 1.0).permute(0, 3, 1, 2).contiguous()
    return _latents(pipe, pixels)


def _add_factors(pipe: Any, recipe: Recipe) -> dict[str, Any]:
    """Add LoRA factors to the pipeline; returns the trainable parameters by name, in float32."""
    layers = [layer for group in recipe.targets for layer in UNET_LAYERS[group]]
    parts = {"unet": pipe.unet}
    pipe.unet.add_adapter(_lora(recipe, layers))
    if recipe.train_text_encoder:
        for name, encoder in _text_encoders(pipe).items():
            encoder.add_adapter(_lora(recipe, list(TEXT_LAYERS)))
            parts[name] = encoder
    trainable = {}
    for part, module in parts.items():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
                trainable[f"{part}.{name}"] = parameter
    return trainable


def _lora(recipe: Recipe, layers: list[str]) -> Any:
    return LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, init_lora_weights="gaussian", target_modules=layers
    )


def _text_encoders(pipe: Any) -> dict[str, Any]:
    names = ("text_encoder", "text_encoder_2")
    found = {name: getattr(pipe, name, None) for name in names}
    return {name: encoder for name, encoder in found.items() if encoder is not None}


def _is_xl(pipe: Any) -> bool:
    return "text_encoder_2" in _text_encoders(pipe)


# --- what comes out --------------------------------------------------------------------------


def draw(
    pipe: Any, recipe: Recipe, prompt: str, seeds: list[int], before_step: Callable[[], None]
) -> list[Image.Image]:
    """Draw one picture per seed; asks `before_step` between denoising steps."""

    def between(_pipe: Any, _step: int, _time: Any, kept: dict[str, Any]) -> dict[str, Any]:
        before_step()
        return kept

    drawn: list[Image.Image] = []
    for start in range(0, len(seeds), 4):
        some = seeds[start : start + 4]
        with torch.no_grad():
            drawn += pipe(
                prompt=[prompt] * len(some),
                num_inference_steps=recipe.sample_steps,
                guidance_scale=recipe.guidance,
                width=recipe.resolution,
                height=recipe.resolution,
                generator=[torch.Generator().manual_seed(seed) for seed in some],
                callback_on_step_end=between,
            ).images
    return drawn


def _sample(run: _Run, hooks: Hooks, stage: str) -> None:
    """A few pictures of the trigger, with the same seeds at every stage."""
    if run.recipe.samples == 0:
        return
    seeds = [run.recipe.seed + i for i in range(run.recipe.samples)]
    prompt = run.recipe.instance_prompt
    hooks.sample(stage, draw(run.pipe, run.recipe, prompt, seeds, hooks.before_step))


def adapter_tensors(pipe: Any) -> Tensors:
    """The adapter under the keys that `load_lora_weights` reads in full.

    Raw PEFT names: converting only some of them makes the loader drop the rest without a word.
    """
    tensors: Tensors = {}
    for part, module in {"unet": pipe.unet, **_text_encoders(pipe)}.items():
        if getattr(module, "peft_config", None):
            for name, value in get_peft_model_state_dict(module).items():
                tensors[f"{part}.{name}"] = value.detach().float().cpu().numpy().copy()
    return tensors


# --- resume and erase ------------------------------------------------------------------------


def _packed(run: _Run) -> bytes:
    """A checkpoint: factors, optimizer, the one generator and the step count."""
    parts = {
        "parameters": {name: value.detach().cpu() for name, value in run.parameters.items()},
        "optimizer": run.optimizer.state_dict(),
        "dice": run.dice.get_state(),
        "step": run.step,
        "bad": run.bad,
    }
    buffer = io.BytesIO()
    torch.save(parts, buffer)
    return buffer.getvalue()


def _resume(run: _Run, data: bytes | None) -> None:
    if data is None:
        return
    parts = torch.load(io.BytesIO(data), weights_only=True)
    with torch.no_grad():
        for name, value in parts["parameters"].items():
            run.parameters[name].copy_(value)
    run.optimizer.load_state_dict(parts["optimizer"])
    run.dice.set_state(parts["dice"])
    run.step, run.bad = parts["step"], parts["bad"]


def _erase(run: _Run) -> None:
    """Overwrite weights, optimizer state and latents in memory."""
    state = [v for slot in run.optimizer.state.values() for v in slot.values()]
    latents = [value for value in (run.person, run.others) if value is not None]
    with torch.no_grad():
        for tensor in [*run.parameters.values(), *state, *latents]:
            if isinstance(tensor, torch.Tensor):
                tensor.zero_()
    run.optimizer.zero_grad(set_to_none=True)
    run.optimizer.state.clear()
