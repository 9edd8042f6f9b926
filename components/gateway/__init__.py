"""The way in from outside: one Ingress with a rule for each public agent, or an HTTPRoute for each."""
