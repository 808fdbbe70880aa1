"""Text of every lane as the transformer takes it: encoded once when it is set, aged and reverted as steps go
by.

A lane's text has three parts and a goal. The scene holds until it is replaced; a view is conditioned with its
age in steps, so that a stale one does not fight memory; an event reverts after its steps. The first latent
that is generated after a view was set has age 0. All lanes lie in the same tensors, so that a step needs no
loop over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from worldsim.model.attention import TextKV
from worldsim.model.conditioning import NO_VIEW, TextTokens
from worldsim.model.transformer import WorldModel
from worldsim.predictor import LaneText, TextKind

# B lanes, M text tokens of a part, D width

OLDEST_VIEW = 525
"""View ages are trained up to this; older views count as so old."""


@dataclass(frozen=True)
class LaneWords:
    """What the encoded tensors of a lane were made from, kept for saving its state."""

    text: LaneText = field(default_factory=LaneText)
    event: str = ""


class TextMemory:
    """Encoded text of ``lanes`` lanes for one world model."""

    def __init__(self, world: WorldModel, lanes: int, device: torch.device) -> None:
        self._world = world
        self.words = [LaneWords() for _ in range(lanes)]
        self._null = {part: world.encode_text([""], part) for part in ("scene", "view", "event", "goal")}
        self.scene = self._null["scene"].repeat(lanes, 1, 1)
        self.view = self._null["view"].repeat(lanes, 1, 1)
        self.event = self._null["event"].repeat(lanes, 1, 1)
        self.goal = self._null["goal"].repeat(lanes, 1, 1)
        self.age = torch.full((lanes,), NO_VIEW, dtype=torch.int64, device=device)
        self.event_left = torch.zeros(lanes, dtype=torch.int64, device=device)
        self.world_index = torch.zeros(lanes, dtype=torch.int64, device=device)
        self._read: list[TextKV] | None = None
        """What the layers read of all lanes' text, while that does not change."""
        self._changes = 0
        """Steps after which no view grows older and no event ends."""

    def begin(self, lanes: Sequence[int], texts: Sequence[LaneText], world_index: Sequence[int]) -> None:
        """New scene, view (at age 0) and goal; no event."""
        rows = list(lanes)
        for lane, text in zip(rows, texts):
            self.words[lane] = LaneWords(text)
        self._write(rows, "scene", [t.scene for t in texts])
        self._write(rows, "view", [t.view for t in texts])
        self._write(rows, "goal", [t.goal for t in texts])
        self.event[rows] = self._null["event"]
        self.event_left[rows] = 0
        self.world_index[rows] = torch.tensor(world_index, device=self.world_index.device)

    def set(self, lanes: Sequence[int], texts: Sequence[str], kind: TextKind, steps: int) -> None:
        """New text of one kind; a scene clears the view, an event holds for ``steps`` steps."""
        rows = list(lanes)
        if kind not in ("scene", "view", "event"):
            raise ValueError(f"kind={kind!r}; accepted are 'scene', 'view' and 'event'")
        if kind == "event" and steps < 1:
            raise ValueError(f"steps={steps}: an event lasts at least one step")
        self._write(rows, kind, texts)
        for lane, text in zip(rows, texts):
            old = self.words[lane]
            if kind == "event":
                self.words[lane] = replace(old, event=text)
            elif kind == "view":
                self.words[lane] = replace(old, text=replace(old.text, view=text))
            else:
                self.words[lane] = replace(old, text=replace(old.text, scene=text, view=""))
        if kind == "event":
            self._changes = max(self._changes, steps)
            self.event_left[rows] = torch.tensor([steps if text else 0 for text in texts], device=self.age.device)
        if kind == "scene":
            self.view[rows] = self._null["view"]
            self.age[rows] = NO_VIEW

    def _write(self, rows: list[int], part: str, texts: Sequence[str]) -> None:
        self._read = None
        getattr(self, part)[rows] = self._world.encode_text(texts, part)
        if part == "view" and any(texts):
            self._changes = max(self._changes, OLDEST_VIEW + 1)
        if part == "view":
            ages = [0 if text else NO_VIEW for text in texts]
            self.age[rows] = torch.tensor(ages, device=self.age.device)

    def tokens(self, rows: torch.Tensor | None = None) -> TextTokens:
        """Text of the latent to come, T = 1, for all lanes or some."""
        pick = slice(None) if rows is None else rows
        text = TextTokens(
            self.scene[pick], self.view[pick], self.age[pick][:, None], self.event[pick][:, None],
            self.goal[pick][:, 0], self.world_index[pick],
        )  # fmt: skip
        if rows is not None:
            return text
        if self._read is None:
            self._read = self._world.read_text(text)
        return replace(text, read=self._read)

    def unguided(self, text: TextTokens) -> TextTokens:
        """``text`` without scene, view and event, for guidance."""
        b = len(text.goal)
        return replace(
            text,
            scene=self._null["scene"].expand(b, -1, -1),
            view=self._null["view"].expand(b, -1, -1),
            view_age=torch.full_like(text.view_age, NO_VIEW),
            event=self._null["event"][:, None].expand(b, -1, -1, -1),
            read=None,
        )

    def advance(self, rows: torch.Tensor | None = None) -> None:
        """One latent was made: views are a step older, events a step nearer to their end."""
        if rows is None and not self._changes:
            return
        if rows is None:
            self._changes -= 1
        self._read = None
        pick = slice(None) if rows is None else rows
        age, left = self.age[pick], self.event_left[pick]
        self.age[pick] = torch.where(age >= 0, (age + 1).clamp(max=OLDEST_VIEW), age)
        ends = (left == 1)[:, None, None]
        self.event[pick] = torch.where(ends, self._null["event"], self.event[pick])
        self.event_left[pick] = (left - 1).clamp(min=0)
