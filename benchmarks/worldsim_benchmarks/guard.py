"""A candidate that may crash or return nonsense: its episodes are lost, the run goes on, and the reason is kept.

The environment that is measured is foreign code, and one fault in the fortieth episode must not cost the thirty-nine
before it. When a batch raises, the environment is made anew and the batch's episodes are tried one by one, so that
what fails depends on the episode and not on its neighbours. Pictures that are no uint8 pictures of the context's size,
blocks of another length than the context's, and rewards that are not finite fail an episode too. A failed episode shows
black frames; suites give it 0 and save the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worldsim_benchmarks.candidates import Candidate, Context, Continuation, EnvCandidate, Told


class Guarded:
    """``make`` opens the candidate at the first use, and again after a crash."""

    def __init__(self, make: Callable[[], Candidate]) -> None:
        self._make = make
        self._open: Candidate | None = None

    @property
    def _candidate(self) -> Candidate:
        if self._open is None:
            self._open = self._make()
        return self._open

    def go_on(
        self,
        contexts: Sequence[Context],
        actions: Sequence[Sequence[str]],
        seeds: Sequence[int],
        told: Told | None = None,
    ) -> tuple[Continuation, list[str]]:
        """As ``Candidate.go_on``, and for each episode "" or why it failed (its frames are black then). ``told`` is for
        environments that take event texts (``EnvCandidate.go_on``)."""
        try:
            more = {} if told is None else {"told": told}
            made = self._candidate.go_on(contexts, actions, seeds, **more)
        except Exception as error:  # whatever foreign code raises; KeyboardInterrupt goes through
            self.close()
            if len(contexts) == 1:
                return _nothing(contexts[0], len(actions[0])), [f"{type(error).__name__}: {error}"]
            single = [
                self.go_on([c], [a], [s], told.of([i]) if told else None)
                for i, (c, a, s) in enumerate(zip(contexts, actions, seeds, strict=True))
            ]
            return _joined([made for made, _ in single]), [reason for _, (reason,) in single]
        reasons = [
            _fault(context, blocks, reward) for context, blocks, reward in zip(contexts, made.blocks, made.reward)
        ]
        if not any(reasons):
            return made, reasons
        parts = [
            _nothing(c, len(actions[0]))
            if why
            else Continuation(made.blocks[[i]], made.reward[[i]], made.terminated[[i]])
            for i, (c, why) in enumerate(zip(contexts, reasons))
        ]
        return _joined(parts), reasons

    def starts(self, texts: Sequence[str], shape: tuple[int, ...], seeds: Sequence[int]) -> list[np.ndarray | str]:
        """First frames uint8 of ``shape`` that an environment draws from texts alone, or why there is none."""
        try:
            return self._started(texts, shape, seeds)
        except Exception as error:  # foreign code, as above
            self.close()
            if len(texts) == 1:
                return [f"{type(error).__name__}: {error}"]
            return [self.starts([t], shape, [s])[0] for t, s in zip(texts, seeds, strict=True)]

    def _started(self, texts: Sequence[str], shape: tuple[int, ...], seeds: Sequence[int]) -> list[np.ndarray | str]:
        candidate, out = self._candidate, list[np.ndarray | str]()
        if not isinstance(candidate, EnvCandidate):
            raise TypeError(f"{candidate.name} takes no prompts")
        for at in range(0, len(texts), candidate.lanes):
            group = list(texts[at : at + candidate.lanes])
            frames, _ = candidate.start({"prompt": group}, seeds[at : at + candidate.lanes])
            for frame in np.asarray(frames)[: len(group)]:
                right = frame.dtype == np.uint8 and frame.shape == shape
                out.append(np.array(frame) if right else f"the start is {frame.dtype} {frame.shape}; uint8 {shape}")
        return out

    def reconstruct(self, frames: np.ndarray) -> np.ndarray | None:
        """As ``Candidate.reconstruct``; None, and a line of why, where it fails or gives other than such pictures: the
        ceiling ``codec`` then has no row of this episode."""
        try:
            made = self._candidate.reconstruct(frames)
        except Exception as error:  # foreign code, as above
            print(f"reconstruct failed: {type(error).__name__}: {error}")
            self.close()
            return None
        if made is not None and (made.dtype != np.uint8 or made.shape != frames.shape):
            print(f"reconstruct gave {made.dtype} {made.shape} for uint8 {frames.shape}")
            return None
        return made

    def surprises(
        self, frames: Sequence[np.ndarray], names: Sequence[Sequence[str]], seed: int, draws: int, first: int = 0
    ) -> tuple[np.ndarray, str]:
        """As ``Candidate.surprises``, and "" or why it failed (all is NaN then)."""
        nothing = np.full((len(names), len(names[0])), np.nan)
        try:
            losses = self._candidate.surprises(frames, names, seed, draws, first)
        except Exception as error:  # foreign code, as above
            self.close()
            return nothing, f"{type(error).__name__}: {error}"
        if losses is None:
            return nothing, "surprise is not offered"
        if losses.shape != nothing.shape or not np.isfinite(losses[:, first:]).all():
            blocks = f"{len(names[0])} blocks of {len(names)} films"
            return nothing, f"surprise gave {losses.shape} for {blocks}, or numbers that are not finite"
        return losses, ""

    def anew(self) -> None:
        """Makes the candidate anew at its next use: an environment may remember, if only in the last digit, what it did
        before, and a task's rows must not depend on which other tasks its process was given."""
        self.close()

    def close(self) -> None:
        """Frees the candidate; a fault while it closes is its own affair."""
        opened, self._open = self._open, None
        if opened is not None:
            try:
                opened.close()
            except Exception as error:  # it has crashed before, as a rule
                print(f"{opened.name} failed to close: {type(error).__name__}: {error}")


def _fault(context: Context, blocks: np.ndarray, reward: np.ndarray) -> str:
    if blocks.dtype != np.uint8:
        broken = bool(np.issubdtype(blocks.dtype, np.floating) and not np.isfinite(blocks).all())
        return f"frames are {blocks.dtype}{' with NaN' if broken else ''}; uint8 is needed"
    asked = (context.block, *context.frames.shape[1:])
    if blocks.shape[1:] != asked:
        return f"blocks of frames are {blocks.shape[1:]}; the true world's are {asked}"
    return "" if np.isfinite(reward).all() else "the reward is not finite"


def _nothing(context: Context, steps: int) -> Continuation:
    shape = (1, steps, context.block, *context.frames.shape[1:])
    return Continuation(np.zeros(shape, np.uint8), np.zeros((1, steps)), np.zeros((1, steps), bool))


def _joined(parts: Sequence[Continuation]) -> Continuation:
    return Continuation(
        np.concatenate([p.blocks for p in parts]),
        np.concatenate([p.reward for p in parts]),
        np.concatenate([p.terminated for p in parts]),
    )
