"""Small nets that read pictures where no exact detector can: which action was taken, which thing is where.

Trained by one command on training maps of the true worlds, shipped with a manifest, evaluated by NumPy alone.
"""
