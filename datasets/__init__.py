"""Images and masks on disk -> categories -> stored arrays -> batches of tensors."""
