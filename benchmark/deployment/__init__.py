"""The use of trained detectors outside of sweeps: found, applied to new images, exported."""
