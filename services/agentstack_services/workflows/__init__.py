"""Workflows as the stack hands them over: checked at preview, compiled to JSON, one file each."""
