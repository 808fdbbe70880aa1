"""What the suites of permanence and interaction ask: deeds that are planned in the true world, and how they are judged.

``stage`` plays a true world with all that it tells of itself, ``plan`` is a deed with its twin, ``detect`` reads
pictures, and one module per world plans its deeds. The suites turn plans into rollouts and rows.
"""
