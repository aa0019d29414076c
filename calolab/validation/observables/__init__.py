"""Observables: what is measured of showers, jets, jet images and maps, and compared in a report."""
