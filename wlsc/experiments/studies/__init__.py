"""Many trainings of one question, one module for each kind of study: receptive fields, clusters, sweeps."""
