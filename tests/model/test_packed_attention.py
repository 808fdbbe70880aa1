"""Every backend of packed attention equals a loop over the sequences, in values and, where it has them, gradients."""

import pytest
import torch

from worldsim.model.attention import attend, time_mask
from worldsim.model.packed_attention import BACKENDS, Band, bounds, packed_attention

LENGTHS = [3, 3, 1, 7, 1, 1, 7, 5]
MODES = torch.tensor([0, 1, 0, 1, 1, 0, 0, 0])
WINDOW = 3


def one_by_one(q, k, v, cu_seqlens, cu_keys, modes=None):
    found = []
    for s in range(len(cu_seqlens) - 1):
        queries, keys = slice(cu_seqlens[s], cu_seqlens[s + 1]), slice(cu_keys[s], cu_keys[s + 1])
        q_HLE, k_HKE, v_HKE = (x[rows].transpose(0, 1) for x, rows in ((q, queries), (k, keys), (v, keys)))
        mask = None if modes is None else time_mask(q_HLE.shape[1], WINDOW, modes[s : s + 1])
        found.append(attend(q_HLE, k_HKE, v_HKE, mask).transpose(0, 1))
    return torch.cat(found)


def tensors(keys_more=0):
    torch.manual_seed(0)
    cu, cu_keys = bounds(LENGTHS), bounds([n + keys_more for n in LENGTHS])
    q = torch.randn(int(cu[-1]), 2, 16)
    k, v = torch.randn(2, int(cu_keys[-1]), 2, 16)
    return [x.requires_grad_() for x in (q, k, v)], cu, cu_keys


def gradients(y, inputs):
    weights = torch.linspace(-1, 1, y.numel()).view_as(y)
    return torch.autograd.grad((y * weights).sum(), inputs)


@pytest.mark.parametrize("seen", ["full", "text", "banded"])
@pytest.mark.parametrize("backend", ["grouped", "masked"])
def test_values_and_gradients_are_those_of_each_sequence_alone(backend, seen):
    inputs, cu, cu_keys = tensors(keys_more=4 if seen == "text" else 0)
    band = Band(WINDOW, MODES == 1) if seen == "banded" else None
    modes = MODES if seen == "banded" else None
    packed = packed_attention(*inputs, cu, cu_keys, band, backend)
    alone = one_by_one(*inputs, cu, cu_keys, modes)
    assert torch.allclose(packed, alone, atol=1e-6)
    for a, b in zip(gradients(packed, inputs), gradients(alone, inputs)):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("seen", ["full", "text", "banded"])
def test_flex_attention_gives_the_values_of_each_sequence_alone(seen):
    """On a CPU it has values and no gradients."""
    inputs, cu, cu_keys = tensors(keys_more=4 if seen == "text" else 0)
    band = Band(WINDOW, MODES == 1) if seen == "banded" else None
    inputs = [x.detach() for x in inputs]
    with torch.no_grad():
        packed = packed_attention(*inputs, cu, cu_keys, band, "flex")
        alone = one_by_one(*inputs, cu, cu_keys, MODES if seen == "banded" else None)
    assert torch.allclose(packed, alone, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backend", list(BACKENDS))
def test_values_and_gradients_on_a_gpu(backend):
    inputs, cu, cu_keys = tensors()
    on_gpu = [x.detach().cuda().requires_grad_() for x in inputs]
    band = Band(WINDOW, MODES == 1)
    packed = packed_attention(*on_gpu, cu, cu_keys, band, backend)
    alone = one_by_one(*inputs, cu, cu_keys, MODES)
    assert torch.allclose(packed.cpu(), alone, atol=1e-2)
    for a, b in zip(gradients(packed, on_gpu), gradients(alone, inputs)):
        assert torch.allclose(a.cpu(), b, atol=1e-2)


def test_flex_attention_is_imported_only_where_it_is_asked_for():
    import subprocess
    import sys

    code = "import sys, worldsim.model.transformer; print('torch.nn.attention.flex_attention' in sys.modules)"
    bare = "import sys, torch; print('torch.nn.attention.flex_attention' in sys.modules)"
    said = [
        subprocess.run([sys.executable, "-c", c], capture_output=True, text=True, check=True).stdout
        for c in (code, bare)
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize("cu", [[0, 3, 2, 5], [1, 5], [0, 4], [0, 6]])
def test_bounds_that_do_not_fit_are_refused(cu):
    x = torch.randn(5, 1, 4)
    with pytest.raises(ValueError, match=r"it must rise from 0 to 5"):
        packed_attention(x, x, x, torch.tensor(cu))


def test_bands_and_backends_that_do_not_fit_are_refused():
    x = torch.randn(5, 1, 4)
    with pytest.raises(ValueError, match="a band of 1 sequences for 2"):
        packed_attention(x, x, x, bounds([2, 3]), band=Band(2, torch.tensor([True])))
    with pytest.raises(ValueError, match="there are grouped, masked, flex"):
        packed_attention(x, x, x, bounds([2, 3]), backend="ragged")
    with pytest.raises(ValueError, match="bounds 1 sequences and cu_keys 2"):
        packed_attention(x, x, x, bounds([5]), bounds([2, 3]))
