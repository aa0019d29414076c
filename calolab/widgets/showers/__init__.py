"""Widgets that show showers: slices, profiles, and their change with the incident energy."""
