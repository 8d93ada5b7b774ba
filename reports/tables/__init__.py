"""Tables: their contents, groups, marks and captions, and their output formats."""
