"""The resolved configuration as typed objects: a file per group of `conf/`."""
