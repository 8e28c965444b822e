"""Find the labels that lie: `python -m commands.review`."""
