"""Images, masks and point clouds on disk -> categories of samples -> decoded arrays; and the type of a batch."""
