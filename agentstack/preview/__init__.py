"""What one environment is: capacity, cost and findings, as a report."""
