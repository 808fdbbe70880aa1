"""From episodes to weights: pools and caches of data, objectives, the loop, presets, exports."""
