"""The `canvaslm` command: one file per subcommand, and what they draw with."""
