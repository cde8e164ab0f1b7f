"""Synthetic LoRAs and what people do to them: one generator for the watermark's tests and its
bench.

The host model was checked against trained LoRAs (spectrum about 1/i, log-normal module norms,
uneven channels). It stands in for files that cannot be shipped; nothing here was trained on
anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from training.core.weights import Float32, Module, Weights, adapters, replace_factors

Modules = list[tuple[str, int, int]]

SD15_WIDTHS = (320,) * 5 + (640,) * 5 + (1280,) * 6


def sd15(*, every: int = 1) -> Modules:
    """The 128 attention projections of SD 1.5's UNet: (path, m, n); `every` keeps one block in so
    many.
    """
    out: Modules = []
    for number, width in list(enumerate(SD15_WIDTHS))[::every]:
        for attention, context in (("attn1", width), ("attn2", 768)):
            for layer in ("to_q", "to_k", "to_v", "to_out.0"):
                n = context if layer in ("to_k", "to_v") else width
                out.append((f"unet.blocks.{number}.{attention}.{layer}", width, n))
    return out


def sdxl() -> Modules:
    """The 560 attention projections of SDXL's UNet: 10 blocks of width 640, 60 of 1280."""
    out: Modules = []
    for number, width in enumerate((640,) * 10 + (1280,) * 60):
        for attention, context in (("attn1", width), ("attn2", 2048)):
            for layer in ("to_q", "to_k", "to_v", "to_out.0"):
                n = context if layer in ("to_k", "to_v") else width
                out.append((f"unet.blocks.{number}.{attention}.{layer}", width, n))
    return out


def flux() -> Modules:
    """The 266 attention projections of Flux: 19 double blocks of eight, 38 single ones of three."""
    both = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj")
    double = [f"transformer_blocks.{i}.attn.{x}" for i in range(19) for x in (*both, "to_add_out")]
    single = [f"single_transformer_blocks.{i}.attn.{x}" for i in range(38) for x in both[:3]]
    return [(f"transformer.{path}", 3072, 3072) for path in double + single]


def tiny() -> Modules:
    """The product's own small base: a 24/48/96 UNet's layers and a text encoder of width 64 (about
    0.26 M at r8).
    """
    out: Modules = []
    for block, (before, width) in enumerate([(24, 24), (24, 48), (48, 96), (96, 96), (144, 48)]):
        for index, inside in enumerate((before, width)):
            path = f"unet.blocks.{block}.resnets.{index}"
            out.append((f"{path}.conv1", width, inside * 9))
            out.append((f"{path}.conv2", width, width * 9))
            out.append((f"{path}.time_emb_proj", width, 96))
    for index in range(4):
        path = f"unet.attentions.{index}"
        for attention, context in (("attn1", 96), ("attn2", 64)):
            for layer in ("to_q", "to_k", "to_v", "to_out.0"):
                out.append((f"{path}.{attention}.{layer}", 96, context))
        out += [(f"{path}.ff.net.0.proj", 768, 96), (f"{path}.ff.net.2", 96, 384)]
        out += [(f"{path}.proj_in", 96, 96), (f"{path}.proj_out", 96, 96)]
    for index in range(2):
        path = f"text_encoder.encoder.layers.{index}"
        for layer in ("q_proj", "k_proj", "v_proj", "out_proj"):
            out.append((f"{path}.self_attn.{layer}", 64, 64))
        out += [(f"{path}.mlp.fc1", 256, 64), (f"{path}.mlp.fc2", 64, 256)]
    return out


def lora(
    modules: Modules, rank: int, seed: int, *, power: float = 1.0, spread: float = 0.5
) -> Weights:
    """PEFT keys, scale 1, spectrum i^-power, log-normal norms, channels uneven by `spread`."""
    generator = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for path, m, n in modules:
        norm = np.exp(generator.normal(0, 0.5)) * 0.02
        up = _directions(generator, m, rank, spread)
        down = _directions(generator, n, rank, spread)
        shape = np.float32(norm) * np.arange(1, rank + 1, dtype=np.float32) ** np.float32(-power)
        tensors[f"{path}.lora_A.weight"] = np.ascontiguousarray((down * np.sqrt(shape)).T)
        tensors[f"{path}.lora_B.weight"] = (up * np.sqrt(shape)).astype(np.float32)
    return Weights(tensors)


def _directions(generator: np.random.Generator, size: int, rank: int, spread: float) -> Float32:
    channels = np.exp(generator.normal(0, spread, size)).astype(np.float32)
    entries = generator.standard_normal((size, rank), np.float32) * channels[:, None]
    return np.asarray(entries / np.sqrt(size), np.float32)


def distortion(before: Weights, after: Weights) -> float:
    """Root mean square over the modules of |change of dW| / |dW|, by forming the products."""
    shares = []
    for old, new in zip(adapters(before), adapters(after), strict=True):
        was = old.scale * old.up @ old.down
        shares.append(np.linalg.norm(new.scale * new.up @ new.down - was) / np.linalg.norm(was))
    return float(np.sqrt(np.mean(np.square(shares))))


# --- what people do to files ----------------------------------------------------------------------


def each_factor(weights: Weights, change: Callable[[Float32], Float32]) -> Weights:
    """`change` on every factor; an alpha is no factor."""
    return Weights(
        {
            k: change(t.astype(np.float32)).astype(np.float32) if t.ndim > 1 else t
            for k, t in weights.tensors.items()
        }
    )


def noisy(weights: Weights, share: float, seed: int = 1) -> Weights:
    g = np.random.default_rng(seed)
    return each_factor(
        weights, lambda t: t + g.standard_normal(t.shape, np.float32) * np.float32(share * t.std())
    )


def pruned(weights: Weights, share: float) -> Weights:
    return each_factor(weights, lambda t: np.where(np.abs(t) < np.quantile(np.abs(t), share), 0, t))


def dare(weights: Weights, share: float, seed: int = 2) -> Weights:
    g = np.random.default_rng(seed)
    return each_factor(
        weights,
        lambda t: t * (g.random(t.shape) >= share).astype(np.float32) / np.float32(1 - share),
    )


def integers(weights: Weights, bits: int) -> Weights:
    top = 2 ** (bits - 1) - 1

    def change(t: Float32) -> Float32:
        step = np.abs(t).max(axis=1, keepdims=True) / top
        return np.asarray(np.round(t / step) * step, np.float32)

    return each_factor(weights, change)


def float8(weights: Weights) -> Weights:
    """E4M3 with one scale a tensor: three bits of mantissa, by rounding."""

    def change(t: Float32) -> Float32:
        scaled = t * (448 / np.abs(t).max())
        step = 2.0 ** (np.maximum(np.floor(np.log2(np.abs(scaled) + 1e-30)), -6) - 3)
        return np.asarray(np.round(scaled / step) * step, np.float32)

    return each_factor(weights, change)


def bfloat16(weights: Weights) -> Weights:
    def change(t: Float32) -> Float32:
        raw = np.ascontiguousarray(t).view(np.uint32)
        return ((raw + 0x8000) & np.uint32(0xFFFF0000)).view(np.float32)

    return each_factor(weights, change)


def refactored(weights: Weights, seed: int = 3) -> Weights:
    """B -> B R, A -> R^-1 A with a random R for every module: dW is the same."""
    g = np.random.default_rng(seed)
    out: dict[str, Float32] = {}
    for module in adapters(weights):
        r = np.eye(module.rank) + 0.3 * g.standard_normal((module.rank, module.rank))
        out[module.up_key] = (module.up @ r).astype(np.float32)
        out[module.down_key] = np.linalg.solve(r, module.down).astype(np.float32)
    return replace_factors(weights, out)


def scaled(weights: Weights, factor: float) -> Weights:
    return Weights(
        {k: t * np.float32(factor) if "lora_B" in k else t for k, t in weights.tensors.items()}
    )


def block_scaled(weights: Weights, seed: int = 4) -> Weights:
    g = np.random.default_rng(seed)
    return Weights(
        {
            k: t * np.float32(g.uniform(0.2, 1.8)) if "lora_B" in k else t
            for k, t in weights.tensors.items()
        }
    )


def renamed(weights: Weights, seed: int = 5) -> Weights:
    """Module names exchanged for random ones, order shuffled; the two factors stay a pair."""
    g = np.random.default_rng(seed)
    out: dict[str, np.ndarray] = {}
    for index in g.permutation(len(modules := adapters(weights))):
        module = modules[index]
        name = f"layer{g.integers(1 << 60):x}"
        out[f"{name}.lora_down.weight"] = weights.tensors[module.down_key]
        out[f"{name}.lora_up.weight"] = weights.tensors[module.up_key]
    return Weights(out)


def dropped(weights: Weights, share: float, seed: int = 6) -> Weights:
    g = np.random.default_rng(seed)
    modules = adapters(weights)
    keep = g.permutation(len(modules))[: max(1, round(len(modules) * (1 - share)))]
    keys = {key for i in keep for key in (modules[i].up_key, modules[i].down_key)}
    return Weights({k: t for k, t in weights.tensors.items() if k in keys})


def merged(weights: Weights, others: list[Weights], shares: list[float] | None = None) -> Weights:
    """The sum of the updates, held as factors of a larger rank."""
    shares = shares or [1.0] * (1 + len(others))
    out: dict[str, np.ndarray] = {}
    for module in adapters(weights):
        files = [weights, *others]
        out[module.up_key] = np.hstack(
            [f.tensors[module.up_key] * np.float32(s) for f, s in zip(files, shares, strict=True)]
        )
        out[module.down_key] = np.vstack([f.tensors[module.down_key] for f in files])
    return Weights(out)


def truncated(weights: Weights, rank: int, power: float = 1.0) -> Weights:
    """Re-compressed by SVD to `rank`; `power` < 1 flattens the spectrum."""
    out: dict[str, np.ndarray] = {}
    for module, (u, s, vt) in _svd(weights):
        s = s[:rank] ** power * (np.linalg.norm(s) / np.linalg.norm(s**power))
        out[module.up_key] = (u[:, :rank] * np.sqrt(s)).astype(np.float32)
        out[module.down_key] = (np.sqrt(s)[:, None] * vt[:rank]).astype(np.float32)
    return Weights(out)


def drifted(weights: Weights, share: float, other: Weights) -> Weights:
    """Further training on somebody else: an update of `share` of the length of each module, then
    held at the old rank.
    """
    out = dict(other.tensors)
    for mine, theirs in zip(adapters(weights), adapters(other), strict=True):
        length = share * _length(mine) / _length(theirs)
        out[theirs.up_key] = theirs.up * np.float32(length)
    return truncated(merged(weights, [Weights(out)]), adapters(weights)[0].rank)


def _length(module: Module) -> float:
    inner = (module.up.T @ module.up) * (module.down @ module.down.T)
    return float(np.sqrt(inner.sum(dtype=np.float64)))


def _svd(weights: Weights) -> Iterator[tuple[Module, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    for module in adapters(weights):
        qu, ru = np.linalg.qr(module.up)
        qd, rd = np.linalg.qr(module.down.T)
        u, s, vt = np.linalg.svd(module.scale * ru @ rd.T)
        yield replace(module), (qu @ u, s, vt @ qd.T)
