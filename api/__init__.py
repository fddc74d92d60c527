"""The gateway: who may ask, what is asked, and where a job is. It stands on `coop` and runs no media tool.

`api.application.create_app` makes the WSGI application; `python -m api.serve` serves it.
"""
