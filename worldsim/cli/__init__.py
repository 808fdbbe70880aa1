"""The command line: one thin module per command with ``main(argv) -> int``; the table is in ``main.py``."""
