"""Load replay: what requests get when models have a finite number of places, queues form and guards act.

`system` says what is replayed; `exact` runs it with the gateway's own guards, `compiled` the same a hundred times
faster (numba), `queues` the bare queues faster still; `questions` asks about rate, budget, outages and kill-switch.
"""
