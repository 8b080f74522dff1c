"""What GitHub sends: checked, reduced to what is kept of it, and judged. Pure, without any I/O."""
