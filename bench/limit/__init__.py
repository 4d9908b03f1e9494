"""What a bind could do at most: a C client that only keeps a window full, and a C sink that only answers."""
