"""The service: one process that takes findings in, keeps house, and tells how it is."""
