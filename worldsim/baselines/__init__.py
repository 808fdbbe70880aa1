"""World models of the cited families, written by us behind the ``Predictor`` protocol, to be compared with.

``unet`` is the pixel-space diffusion U-Net of DIAMOND (Alonso et al., 2024) at its published size.
"""
