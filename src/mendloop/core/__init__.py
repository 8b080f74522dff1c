"""The pure heart: model, transitions, decisions, wire format. No I/O and no clock."""
