"""Tables: what they hold, how they are grouped and marked, and how they are written."""
