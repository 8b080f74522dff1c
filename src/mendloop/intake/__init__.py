"""What reviewers print, read as findings. Parses only: cleaning and limits are in core."""
