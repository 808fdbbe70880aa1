"""The command line: one thin module per command, each with ``main(argv) -> int``; the table is ``main.py``."""
