"""What the suites of permanence and interaction ask: deeds that are planned in the true world, and how they are judged.

``plan`` is a deed with its twin, ``detect`` reads pictures, ``presence`` asks whether a thing is there again, and one
module per world plans its deeds. The suites turn plans into rollouts and rows.
"""
