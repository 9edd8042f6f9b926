"""Graphs and their differences as Mermaid, SVG and an HTML page."""
