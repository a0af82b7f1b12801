"""Codes for a fixed dictionary: `unrolled` is the paper's network, `exact` reaches the optimum."""
