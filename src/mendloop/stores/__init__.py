"""Where documents live: the port that every store keeps, and the stores."""
