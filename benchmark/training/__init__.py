"""Training: one flat loop for the stages of every method, its checkpoints, optimisers and shared stages."""
