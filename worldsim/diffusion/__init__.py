"""Flow matching: signal levels, losses, conditions, counter-based noise, the sampler."""
