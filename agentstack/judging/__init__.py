"""The policies of one environment, where a finding is fixed, and findings as SARIF."""
