"""The page of predictions for images without a benchmark around them."""
