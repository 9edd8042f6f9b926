"""Questions to Pulumi's engine that change nothing, and why it refuses."""
