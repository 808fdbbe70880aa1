"""The text encoder: words to a few tokens that space attention looks at, trained with the model from scratch.

A pooled sentence vector confuses "red walls, blue floor" with its swap, so text stays a set of tokens: two layers of
self-attention over the words bind colours to surfaces, then learned queries read out a fixed small number of tokens
per part (a Perceiver resampler, Alayrac et al. 2022), which keeps the cost in the transformer the same for every
prompt. The parts, scene, view, event and goal, share the encoder and differ in a part embedding and their queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import nn

from worldsim.captions.vocabulary import MAX_TOKENS, VOCABULARY, word_rows
from worldsim.model.attention import RMSNorm, attend

# B texts, L words, M read-out tokens, D width of the encoder, H heads, E head width

PARTS: tuple[str, ...] = ("scene", "view", "event", "goal")


@dataclass(frozen=True)
class TextConfig:
    """``tokens`` read-out tokens for each of ``PARTS``; ``vocabulary`` is the size that the weights were made for."""

    vocabulary: int = VOCABULARY.size
    width: int = 128
    depth: int = 2
    heads: int = 4
    tokens: tuple[int, ...] = (4, 6, 1, 1)


def tokenise(texts: Sequence[str]) -> torch.Tensor:
    """int64 ``(B, L)`` word ids of texts, padded with 0 to the longest.

    Raises ``ValueError`` for a text of more than ``MAX_TOKENS`` tokens: text is never cut silently.
    """
    return trimmed(torch.from_numpy(word_rows(texts)))


def trimmed(words_BL: torch.Tensor) -> torch.Tensor:
    """int64 word ids without the columns that no text reaches (one column at least)."""
    longest = int((words_BL != 0).sum(1).max()) if len(words_BL) else 0
    return words_BL[:, : max(longest, 1)].long()


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = RMSNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm_2 = RMSNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_BLD: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        q, k, v = rearrange(self.qkv(self.norm_1(x_BLD)), "b l (s h e) -> s b h l e", s=3, h=self.heads)
        y = attend(q, k, v, mask_BL[:, None, None])
        x_BLD = x_BLD + self.out(rearrange(y, "b h l e -> b l (h e)"))
        return x_BLD + self.mlp(self.norm_2(x_BLD))


class WordEncoder(nn.Module):
    """Words of texts of one part, each read among the others: ``(B, L, D)``."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.word = nn.Embedding(config.vocabulary, config.width)
        self.position = nn.Embedding(MAX_TOKENS, config.width)
        self.part = nn.Embedding(len(PARTS), config.width)
        nn.init.normal_(self.word.weight, std=0.5)
        nn.init.normal_(self.position.weight, std=0.1)
        self.layers = nn.ModuleList(_Layer(config.width, config.heads) for _ in range(config.depth))
        self.norm = RMSNorm(config.width, eps=1e-6)

    def read(self, words_BL: torch.Tensor, part: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Words ``(B, L, D)`` and where there are any, ``(B, L)``. ``words_BL`` int64 ids (0 pads) as ``tokenise``
        gives them; ``part`` one of ``PARTS``. What is read where there is no word means nothing."""
        mask = words_BL != 0
        seen = mask | ~mask.any(1)[:, None]  # an all-masked softmax is NaN
        x = self.embed(words_BL) + self.position.weight[: words_BL.shape[1]] + self.part.weight[PARTS.index(part)]
        for layer in self.layers:
            x = layer(x, seen)
        return self.norm(x), mask

    def embed(self, words_BL: torch.Tensor) -> torch.Tensor:
        """Vectors ``(B, L, D)`` of the words, before they know where they stand."""
        embedded: torch.Tensor = self.word(words_BL)
        return embedded


class TextEncoder(WordEncoder):
    """Texts of one part to ``(B, M, D_out)``; an empty text gives the part's learned null tokens."""

    def __init__(self, config: TextConfig, out_width: int) -> None:
        super().__init__(config)
        self.queries = nn.ParameterList(nn.Parameter(torch.randn(m, config.width) * 0.5) for m in config.tokens)
        self.null = nn.ParameterList(nn.Parameter(torch.randn(m, out_width) * 0.2) for m in config.tokens)
        self.read_kv = nn.Linear(config.width, 2 * config.width, bias=False)
        self.out = nn.Linear(config.width, out_width)

    def forward(self, words_BL: torch.Tensor, part: str) -> torch.Tensor:
        """``words_BL`` int64 ids (0 pads) as ``tokenise`` gives them; ``part`` one of ``PARTS``."""
        index = PARTS.index(part)
        x, mask = self.read(words_BL, part)
        empty = ~mask.any(1)
        mask = mask | empty[:, None]  # the null tokens replace its result below
        k, v = rearrange(self.read_kv(x), "b l (s h e) -> s b h l e", s=2, h=self.config.heads)
        q = rearrange(self.queries[index], "m (h e) -> h m e", h=self.config.heads)
        read = rearrange(
            attend(q.to(k.dtype).expand(len(k), -1, -1, -1), k, v, mask[:, None, None]),
            "b h m e -> b m (h e)",
        )
        tokens = self.out(read)
        return torch.where(empty[:, None, None], self.null[index].to(tokens.dtype), tokens)
