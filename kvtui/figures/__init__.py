"""Figures as data: what a plot shows, before anyone draws it."""
