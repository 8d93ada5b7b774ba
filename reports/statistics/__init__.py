"""Statistics: whether methods can be told apart by the categories that there are."""
