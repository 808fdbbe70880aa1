"""Gymnasium environments: the true worlds (``.doom``) and the learned one (``.sora``), which looks like any of them.

Importing the package imports no engine: Gymnasium resolves the entry points of ``worldsim.registration`` lazily.
"""
