"""What writes and measures for this repository; nothing here is installed."""
