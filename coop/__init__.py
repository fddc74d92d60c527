"""The shared library of coop: jobs, settings, the queue. It imports neither `api` nor `workers`."""

__version__ = "0.1.0"
