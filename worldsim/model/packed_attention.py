"""Attention over sequences of different lengths that lie end to end in one tensor, none of which sees another.

A pack holds samples of many sizes and durations (NaViT, Dehghani et al. 2023), so the sequences that attention runs
over, the tokens of a frame or the frames at a token's place, differ in length. One function serves both, with three
backends that a test holds equal to a loop over the sequences:

- ``grouped``: neighbours of equal length are one dense batch. Nothing is computed that is thrown away, and a CPU has no
  better way; what lays out a pack puts equal lengths side by side. The default.
- ``masked``: one dense product under a block mask, its cost the square of the whole pack: for tiny packs, and to
  compare with.
- ``flex``: ``torch.nn.attention.flex_attention`` with a block mask, compiled on a GPU. On a CPU it has no backward, and
  serves only where no gradient is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from einops import rearrange

from worldsim.model.attention import attend

# L queries of all sequences, K keys of all sequences, S sequences, H heads, E head width


@dataclass(frozen=True)
class Band:
    """What a query sees of its own sequence: itself and the ``window - 1`` before it, or, where ``full`` (bool ``(S,)``
    on the host), everything."""

    window: int
    full: torch.Tensor

    def sees(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """bool, whether a query at place ``queries`` sees a key at ``keys`` of the same banded sequence."""
        lag = queries - keys
        return (lag >= 0) & (lag < self.window)


Backend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Band | None], torch.Tensor]


def packed_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens: torch.Tensor,
    cu_keys: torch.Tensor | None = None,
    band: Band | None = None,
    backend: str = "grouped",
) -> torch.Tensor:
    """Softmax attention of ``q (L, H, E)`` over ``k``, ``v`` ``(K, H, E)``, each sequence on its own: ``(L, H, E)``.

    Sequence s has the queries ``cu_seqlens[s]`` to ``cu_seqlens[s + 1]`` and the keys between the same entries of
    ``cu_keys`` (default: ``cu_seqlens``); both are integers ``(S + 1,)`` on the host. ``band`` says what is seen, None
    everything; it needs as many keys as queries. Raises ``ValueError`` for bounds that do not fit the tensors and for
    an unknown backend.
    """
    keys = cu_seqlens if cu_keys is None else cu_keys
    _check(cu_seqlens, len(q), "cu_seqlens", "queries")
    _check(keys, len(k), "cu_keys", "keys")
    if len(keys) != len(cu_seqlens):
        raise ValueError(f"cu_seqlens bounds {len(cu_seqlens) - 1} sequences and cu_keys {len(keys) - 1}")
    if band is not None and (len(band.full) != len(cu_seqlens) - 1 or not torch.equal(keys, cu_seqlens)):
        raise ValueError(
            f"a band of {len(band.full)} sequences for {len(cu_seqlens) - 1}: one entry each, with a key per query"
        )
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r} of packed attention; there are {', '.join(BACKENDS)}")
    return BACKENDS[backend](q, k, v, cu_seqlens, keys, band)


def bounds(lengths: list[int]) -> torch.Tensor:
    """int64 ``(S + 1,)``: where sequences of these lengths begin, and the end of the last."""
    return torch.tensor([0, *lengths]).cumsum(0)


def _check(cu: torch.Tensor, rows: int, name: str, what: str) -> None:
    if cu.device.type != "cpu" or cu[0] != 0 or int(cu[-1]) != rows or bool((cu[1:] < cu[:-1]).any()):
        raise ValueError(f"{name}={cu.tolist()} for {rows} {what}: it must rise from 0 to {rows}, on the host")


def _runs(cu_seqlens: torch.Tensor, cu_keys: torch.Tensor, band: Band | None) -> Iterator[tuple[int, int, int, bool]]:
    """Neighbouring sequences of equal lengths and sight: how many, queries and keys of each, whether banded."""
    lengths = zip(
        cu_seqlens.diff().tolist(),
        cu_keys.diff().tolist(),
        [False] * (len(cu_seqlens) - 1) if band is None else (~band.full).tolist(),
    )
    count, last = 0, None
    for kind in lengths:
        if last is not None and kind != last:
            yield count, *last
            count = 0
        count, last = count + 1, kind
    if last is not None:
        yield count, *last


def _grouped(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu_q: torch.Tensor, cu_k: torch.Tensor, band: Band | None
) -> torch.Tensor:
    runs = list(_runs(cu_q, cu_k, band))
    queries, keys = [n * a for n, a, _, _ in runs], [n * b for n, _, b, _ in runs]
    found = []
    for run, *parts in zip(runs, q.split(queries), k.split(keys), v.split(keys)):
        count, length, seen, banded = run
        if length == seen == 1:
            found.append(parts[2])  # one key has all the weight
            continue
        q_SHLE, k_SHKE, v_SHKE = (rearrange(x, "(s l) h e -> s h l e", s=count) for x in parts)
        mask = None
        if banded and band is not None:
            place = torch.arange(length, device=q.device)
            mask = band.sees(place[:, None], place[None])
        y_SHLE = attend(q_SHLE, k_SHKE, v_SHKE, None if mask is None else mask[None, None])
        found.append(rearrange(y_SHLE, "s h l e -> (s l) h e"))
    return torch.cat(found)


def _sequence_and_place(cu: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The sequence of each row, and its place there."""
    sequence = torch.repeat_interleave(torch.arange(len(cu) - 1), cu.diff())
    return sequence.to(device), (torch.arange(int(cu[-1])) - cu[sequence]).to(device)


def _sight(
    cu_q: torch.Tensor, cu_k: torch.Tensor, band: Band | None, device: torch.device
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Whether the query of one row sees the key of another, both of the whole pack."""
    (of_query, query_place), (of_key, key_place) = (_sequence_and_place(cu, device) for cu in (cu_q, cu_k))
    full = None if band is None else band.full.to(device)

    def sees(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        same = of_query[query] == of_key[key]
        if band is None or full is None:
            return same
        return same & (full[of_query[query]] | band.sees(query_place[query], key_place[key]))

    return sees


def _masked(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu_q: torch.Tensor, cu_k: torch.Tensor, band: Band | None
) -> torch.Tensor:
    sees = _sight(cu_q, cu_k, band, q.device)
    rows, columns = torch.arange(len(q), device=q.device), torch.arange(len(k), device=q.device)
    q_HLE, k_HKE, v_HKE = (rearrange(x, "l h e -> 1 h l e") for x in (q, k, v))
    y_HLE = attend(q_HLE, k_HKE, v_HKE, sees(rows[:, None], columns[None])[None, None])
    return rearrange(y_HLE, "1 h l e -> l h e")


def _flex(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu_q: torch.Tensor, cu_k: torch.Tensor, band: Band | None
) -> torch.Tensor:
    create_block_mask, flex_attention = _flex_kernels(q.is_cuda)
    sees = _sight(cu_q, cu_k, band, q.device)
    mask = create_block_mask(
        lambda batch, head, query, key: sees(query, key), None, None, len(q), len(k), device=q.device
    )
    q_HLE, k_HKE, v_HKE = (rearrange(x, "l h e -> 1 h l e") for x in (q, k, v))
    return rearrange(flex_attention(q_HLE, k_HKE, v_HKE, block_mask=mask), "1 h l e -> l h e")


@cache
def _flex_kernels(compiled: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """``create_block_mask`` and ``flex_attention``, imported only where they are asked for."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    kernel: Any = torch.compile(flex_attention) if compiled else flex_attention
    return create_block_mask, kernel


BACKENDS: dict[str, Backend] = {"grouped": _grouped, "masked": _masked, "flex": _flex}
