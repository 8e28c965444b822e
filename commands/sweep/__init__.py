"""Search over parameters on one machine or many; every trial is a DVC experiment: `python -m commands.sweep`.

plan.py reads what is asked, settings.py names what is tried, trial.py tries it wherever Ray put it, experiments.py has
what the repository knows of it, engine.py has Ray run it all, report.py tells. What runs on a node imports nothing of
this repository: Ray carries it there.
"""
