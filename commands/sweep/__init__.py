"""Search over parameters on one machine or many; every trial is a DVC experiment: `python -m commands.sweep`.

What is asked: settings.py names what is tried, space.py has a parameter's values, plan.py reads the file. What runs on
a node, where Ray carries it: clone.py is the repository there, trial.py tries a setting in it; dvc_exit.py and warm.py
are programs that it starts. What is with the person who asks: experiments.py is their repository, search.py proposes,
findings.py keeps what comes out, progress.py says it, cluster.py has the Ray, tuning.py has Tune run it all there;
report.py and picture.py tell the end.
"""
