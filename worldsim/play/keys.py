"""From the keys that a person holds to an action id.

The browser sends the set of held keys by their place on the keyboard (``KeyboardEvent.code``, so WASD is
where it should be on every layout). Keys mean controls; the first action of ``PREFERENCE`` whose controls are
all held *and* that the world reads is taken: so the same arrow turns in one world and steps aside in another
that cannot turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from worldsim.actions import ACTION_MEANINGS

CODES: dict[str, str] = {
    "KeyW": "forward", "ArrowUp": "forward",
    "KeyS": "backward", "ArrowDown": "backward",
    "KeyA": "strafe_left", "KeyD": "strafe_right",
    "ArrowLeft": "turn_left", "ArrowRight": "turn_right",
    "Comma": "turn_left_small", "Period": "turn_right_small",
    "PageUp": "look_up", "PageDown": "look_down",
    "Space": "attack", "KeyE": "use", "KeyX": "jump", "KeyF": "place", "KeyC": "sneak", "KeyQ": "next_item",
    "KeyZ": "sleep",
    "Digit1": "place_stone", "Digit2": "place_table", "Digit3": "place_furnace", "Digit4": "place_plant",
    "Digit5": "make_wood_pickaxe", "Digit6": "make_stone_pickaxe", "Digit7": "make_iron_pickaxe",
    "Digit8": "make_wood_sword", "Digit9": "make_stone_sword", "Digit0": "make_iron_sword",
}  # fmt: skip
"""Key (``KeyboardEvent.code``) -> control."""

OPPOSITES: tuple[tuple[str, str], ...] = (
    ("forward", "backward"),
    ("strafe_left", "strafe_right"),
    ("turn_left", "turn_right"),
    ("turn_left_small", "turn_right_small"),
    ("look_up", "look_down"),
)
"""Controls that cancel each other when both are held."""

STAND_INS: tuple[tuple[str, str], ...] = (
    ("turn_left", "strafe_left"),
    ("turn_right", "strafe_right"),
    ("strafe_left", "turn_left"),
    ("strafe_right", "turn_right"),
    ("attack", "jump"),
    ("attack", "use"),
)
"""What a control does in a world that does not read it, by preference."""

_COMBINED = ("forward+attack", "forward+jump", "forward+turn_left", "forward+turn_right")
_MOVES = (
    "turn_left", "turn_right", "turn_left_small", "turn_right_small", "look_up", "look_down",
    "forward", "backward", "strafe_left", "strafe_right", "sneak",
)  # fmt: skip
_DEEDS = tuple(n for n in ACTION_MEANINGS if n not in (*_COMBINED, *_MOVES, "noop"))
PREFERENCE: tuple[str, ...] = (*_COMBINED, *_DEEDS, *_MOVES)
"""Every action but noop: combined ones first, then deeds, then moves (a turn before a step)."""


def action_for(held: Iterable[str], names: Sequence[str], reads: Iterable[str] | None = None) -> int:
    """Index in ``names`` (the action space's names) of the action that the held keys mean; noop if none.

    ``held`` are ``KeyboardEvent.code`` values; those not in ``CODES`` mean nothing. ``reads`` are the names
    that the world does something with (all of ``names`` if None).
    """
    usable = set(names) if reads is None else set(reads) & set(names)
    controls = {CODES[code] for code in held if code in CODES}
    for one, other in OPPOSITES:
        if one in controls and other in controls:
            controls -= {one, other}
    for control, stand_in in STAND_INS:
        if control in controls and not any(control in name.split("+") for name in usable):
            controls.add(stand_in)
    for name in PREFERENCE:
        if name in usable and controls.issuperset(name.split("+")):
            return list(names).index(name)
    return list(names).index("noop")


class HeldKeys:
    """The held keys between two steps. A key that was pressed and let go before a step looked still counts
    in it, so a short tap is never lost."""

    def __init__(self) -> None:
        self._held: frozenset[str] = frozenset()
        self._tapped: set[str] = set()

    def update(self, held: Iterable[str]) -> None:
        """The browser reports the keys held now."""
        self._held = frozenset(held)
        self._tapped |= self._held

    def take(self) -> frozenset[str]:
        """Keys for the next step: those held now, and those tapped since the last call."""
        keys = self._held | self._tapped
        self._tapped.clear()
        return keys
