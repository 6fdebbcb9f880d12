"""What is written down of requests: log lines, and numbers for Prometheus."""
