"""The command line: commands and printers, thin over the manager and the loop."""
