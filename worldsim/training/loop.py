"""The training loop that codec and world share: schedule, optimiser, averaged weights, exact resume, metrics.

A run is a folder: ``config.json`` (resolved configuration, versions, argv, git commit), ``metrics.jsonl``, ``sheets/``,
``state/`` (exact resume) and what the task exports. SIGTERM saves and ends the run; a resumed run on a CPU gives the
same numbers as one that was never interrupted, since model, averages, optimiser and generators are all in the state.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

import worldsim
from worldsim.passes import native_autocast, pick_device
from worldsim.training.configs import OptimConfig, RunConfig
from worldsim.training.state import load_state, save_state

M = TypeVar("M", bound=Callable[..., Any])


def write_run_card(out: Path, config: Any) -> None:
    """``config.json`` of a run: what was run, with what, from which commit."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    ).stdout.strip()
    card = {
        "config": dataclasses.asdict(config),
        "argv": sys.argv,
        "commit": commit or None,
        "versions": {
            "worldsim": worldsim.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(card, indent=2, default=str))


class Average:
    """Exponential moving average of a model's parameters, with a short memory at first."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in model.named_parameters()]
        self.live = [p for _, p in model.named_parameters()]
        self.mean = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.live], 1 - decay)

    def swap(self) -> None:
        """Exchanges the averaged and the live parameters in place (twice restores them)."""
        with torch.no_grad():
            for p, mean in zip(self.live, self.mean):
                kept = p.clone()
                p.copy_(mean)
                mean.copy_(kept)


HIDDEN = ("layers.", "encoder.", "decoder.", "memory.")
"""Parts of a model's parameter names that mark its hidden layers."""


def build_optimisers(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """AdamW, or Muon (Jordan et al. 2024) for the matrices of hidden layers with AdamW for the rest.

    Muon's step is scaled to AdamW's RMS, so that one learning rate serves both.
    """
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in model.named_parameters():
        is_hidden = p.ndim == 2 and any(part in name for part in HIDDEN) and min(p.shape) >= 32
        (hidden if config.muon and is_hidden else rest).append(p)
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True)
    ]
    if hidden:
        muon = getattr(torch.optim, "Muon", None)
        if muon is None:
            raise ValueError(
                f"optim.muon needs torch 2.9 or newer, this is {torch.__version__}; set optim.muon to False"
            )
        optimisers.append(muon(hidden, lr=config.lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"))
    return optimisers


class Loop:
    """Runs ``loss_of(step)`` under an optimiser until the steps or the minutes are used up.

    ``loss_of`` draws its batch from ``rng`` (numpy) and ``generator`` (torch), both part of the state, and returns a
    scalar loss and metrics. ``on_probe(step)`` returns held-out metrics and draws sheets; it sees averaged weights.
    """

    def __init__(self, out: Path, model: nn.Module, optim: OptimConfig, run: RunConfig) -> None:
        self.out, self.model, self.optim, self.run = out, model, optim, run
        out.mkdir(parents=True, exist_ok=True)
        self.device = pick_device(run.device)
        if self.device.type == "cuda":
            torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every length of text
        model.to(self.device)  # before the averages are cloned from it
        self.skipped = 0
        self.average = Average(model, optim.ema)
        self.optimisers = build_optimisers(model, optim)
        self.generator = torch.Generator().manual_seed(optim.seed)
        on_cpu = self.device.type == "cpu"
        self.noise_generator = self.generator if on_cpu else torch.Generator(self.device).manual_seed(optim.seed)
        self.rng = np.random.default_rng(optim.seed)
        self.step = 0
        self.elapsed = 0.0
        self.stop_requested = False
        self._probed = False

    @property
    def progress(self) -> float:
        by_steps = self.step / self.optim.steps
        return max(by_steps, self.elapsed / (60 * self.optim.minutes)) if self.optim.minutes else by_steps

    def lr(self) -> float:
        """Warm-up, constant, then linear decay to a twentieth (WSD)."""
        left = (1 - self.progress) / max(self.optim.decay, 1e-9)
        return self.optim.lr * min(1.0, (self.step + 1) / self.optim.warmup) * max(0.05, min(1.0, left))

    def compile(self, *modules: nn.Module) -> None:
        """Compiles modules in place where the run asks for it; their names and tensors stay as they are."""
        if self._compiles:
            for module in modules:
                module.compile(dynamic=self._dynamic)

    def compiled(self, module: M) -> M:
        """``module``, or a function, compiled where the run asks for it, beside which it goes on itself without."""
        return cast(M, torch.compile(module, dynamic=self._dynamic)) if self._compiles else module

    @property
    def _dynamic(self) -> bool | None:
        return None if self.device.type == "cpu" else False

    @property
    def _compiles(self) -> bool:
        """Whether the run compiles. Raises ``ValueError`` where a CPU has no C++ compiler to do it with."""
        if not self.run.compile:
            return False
        compiler = os.environ.get("CXX", "g++")  # as torch's own inductor looks for it
        if self.device.type == "cpu" and not shutil.which(compiler):
            raise ValueError(
                f"run.compile needs a C++ compiler on a CPU, and there is no {compiler}: apt-get install g++ "
                "python3-dev, or set run.compile to False"
            )
        return True

    def noise(self, shape: Sequence[int]) -> torch.Tensor:
        """Standard normal noise on the run's device, from ``generator`` on a CPU, else from one of the device."""
        return torch.randn(tuple(shape), generator=self.noise_generator, device=self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        return native_autocast(self.device) if self.run.bf16 else nullcontext()

    def train(
        self,
        loss_of: Callable[[int], tuple[torch.Tensor, dict[str, torch.Tensor]]],
        on_probe: Callable[[int], dict[str, float]],
        on_export: Callable[[], None] | None = None,
        until: int | None = None,
    ) -> None:
        """Trains to the end, or to step ``until``; ``resume`` before it goes on with a saved run."""
        previous = None
        if _in_main_thread():
            previous = signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stop_requested", True))
        last_export = time.monotonic()
        started, base = time.monotonic(), self.elapsed
        log_started, log_step = started, self.step
        try:
            while self.progress < 1 and (until is None or self.step < until) and not self.stop_requested:
                metrics = self._one_step(loss_of)
                self.elapsed = base + time.monotonic() - started
                if self.step % self.run.log_every == 0:
                    now = time.monotonic()
                    rate = (self.step - log_step) / (now - log_started)
                    log_started, log_step = now, self.step
                    self.log({k: float(v) for k, v in metrics.items()} | {"steps_per_second": rate, "lr": self.lr()})
                if self.step % self.run.probe_every == 0:
                    self.probe(on_probe)
                if self.step % self.run.save_every == 0:
                    self.save()
                if (
                    on_export
                    and self.run.export_minutes
                    and time.monotonic() - last_export > 60 * self.run.export_minutes
                ):
                    if not self._probed:  # what a probe finds may be exported too
                        self.probe(on_probe)
                    self.export(on_export)
                    last_export = time.monotonic()
        finally:
            if previous is not None:
                signal.signal(signal.SIGTERM, previous)
        self.save()
        if self.step % self.run.probe_every or not self._probed:
            self.probe(on_probe)
        if on_export:
            self.export(on_export)

    def _one_step(
        self, loss_of: Callable[[int], tuple[torch.Tensor, dict[str, torch.Tensor]]]
    ) -> dict[str, torch.Tensor]:
        self.model.train()
        lr = self.lr()
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = lr
        loss, metrics = loss_of(self.step)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.optim.clip)
        if self._usable(norm):
            for optimiser in self.optimisers:
                optimiser.step()
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        self.average.update(self.step)
        return metrics | {"loss": loss.detach(), "grad_norm": norm}

    def _usable(self, norm: torch.Tensor) -> bool:
        """Whether the gradient may be taken. A CPU skips one that is not finite; a GPU, which would have to be waited
        for, takes zeros in its place."""
        finite = torch.isfinite(norm)
        if self.device.type == "cpu":
            if not finite:
                self.skipped += 1
                print(
                    f"step {self.step}: the gradient is not finite and is skipped ({self.skipped} so far)", flush=True
                )
            return bool(finite)
        zero_unless([p.grad for p in self.model.parameters() if p.grad is not None], finite)
        return True

    def with_average(self, call: Callable[[], Any]) -> Any:
        """``call`` under the averaged weights, without gradients and without compiling for its shapes."""
        self.average.swap()
        self.model.eval()
        try:
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
                return call()
        finally:
            self.average.swap()
            self.model.train()

    def probe(self, on_probe: Callable[[int], dict[str, float]]) -> None:
        self._probed = True
        self.log({f"probe/{k}": v for k, v in self.with_average(lambda: on_probe(self.step)).items()})

    def export(self, on_export: Callable[[], None]) -> None:
        self.with_average(on_export)
        save_state(self.out / "compact", self.state(), compact=True)

    def log(self, values: dict[str, float]) -> None:
        row = {
            "step": self.step,
            "elapsed": round(self.elapsed, 2),
            **{k: _round(v) for k, v in values.items()},
        }
        with open(self.out / "metrics.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            "  ".join(f"{k} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()),
            flush=True,
        )

    # resume ---------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "average": dict(zip(self.average.names, self.average.mean)),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "generator": self.generator.get_state(),
            "noise_generator": self.noise_generator.get_state(),
            "rng": self.rng.bit_generator.state,
            "step": self.step,
            "elapsed": self.elapsed,
        }

    def save(self) -> None:
        save_state(self.out / "state", self.state())

    def resume(self, folder: Path | None = None) -> bool:
        """Goes on from ``folder`` (default: this run's exact state, or its compact one where that is further). False
        without any."""
        places = [folder] if folder else [self.out / "state", self.out / "compact"]
        states = [load_state(p) for p in places if p.exists() or p.with_name(p.name + ".old").exists()]
        if not states:
            return False
        state = max(states, key=lambda state: state["step"])
        self.model.load_state_dict(state["model"])
        for name, mean in zip(self.average.names, self.average.mean):
            mean.copy_(state["average"][name])
        for optimiser, saved in zip(self.optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        self.noise_generator.set_state(state.get("noise_generator", state["generator"]))
        self.rng.bit_generator.state = state["rng"]
        self.step, self.elapsed = state["step"], state["elapsed"]
        return True


def zero_unless(tensors: list[torch.Tensor], keep: torch.Tensor) -> None:
    """Makes tensors zero in place unless ``keep`` (a bool of no dimensions), without waiting for it."""
    torch._foreach_mul_(tensors, keep.to(tensors[0].dtype))
    for tensor in tensors:
        tensor.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
