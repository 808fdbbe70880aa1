"""What is run and summarised: one module per part, each with ``run(session) -> rows`` and
``summarise(rows)``.

``run`` needs the worlds and the candidate, ``summarise`` only the rows, so that a saved folder is scored
without either.
"""
