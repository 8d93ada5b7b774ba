"""One cell's life (train, score, measure, log) and the sweep around it."""
