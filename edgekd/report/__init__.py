"""What a run leaves behind: the report and the bundle."""
