"""A byte-level BPE tokenizer for the tiny base, learned from its own caption words.

Every caption word becomes one token, every other word falls back to its bytes, so any prompt in
any language can be encoded. Pure Python until `build`, which hands the tables to transformers.
"""

from itertools import pairwise
from typing import Any

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 32


def byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes of CLIP's byte-level alphabet, in CLIP's order."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in set(shown)]
    return [chr(b) for b in shown] + [chr(256 + i) for i in range(len(hidden))]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Learn BPE merges until every word is a single symbol (ties: the smaller pair first)."""
    split = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while any(len(symbols) > 1 for symbols in split):
        counts: dict[tuple[str, str], int] = {}
        for symbols in split:
            for pair in pairwise(symbols):
                counts[pair] = counts.get(pair, 0) + 1
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        split = [_merged(symbols, best) for symbols in split]
    return merges


def _merged(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for symbol in symbols:
        if out and (out[-1], symbol) == pair:
            out[-1] = out[-1] + symbol
        else:
            out.append(symbol)
    return out


def tables(words: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges for `words`."""
    merges = learn_merges(words)
    alphabet = byte_symbols()
    symbols = [*alphabet, *(s + "</w>" for s in alphabet), *(a + b for a, b in merges), START, END]
    return {symbol: i for i, symbol in enumerate(dict.fromkeys(symbols))}, merges


def build(words: list[str]) -> Any:
    """A transformers `CLIPTokenizer` over `words`."""
    from transformers import CLIPTokenizer

    vocab, merges = tables(words)
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)
