"""The command line: one thin module per command, each with ``main(argv) -> int``; ``main.py`` holds the table."""
