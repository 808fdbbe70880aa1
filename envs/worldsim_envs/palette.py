"""Colours as the worlds that draw themselves show them in full light, by their names in the lexicon."""

RGB: dict[str, tuple[int, int, int]] = {
    "red": (214, 44, 40), "green": (46, 168, 66), "blue": (50, 84, 214), "yellow": (240, 204, 40),
    "purple": (146, 60, 190), "white": (240, 240, 238), "orange": (242, 130, 26), "cyan": (56, 200, 212),
    "grey": (132, 132, 132), "brown": (118, 78, 46), "black": (30, 30, 32), "pink": (238, 150, 180),
}  # fmt: skip
