"""Student-teacher detectors, one file each, and the frozen backbone that they share."""
