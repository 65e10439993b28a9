"""Finds out what a CRM's API really does, on scratch records that it takes away again.

What is probed is what the connector does: every call is made by the rooms of `targets`, with the
configuration in force. `run` puts the probes in order and always ends with the sweep; `lab` is the
place where probes work, `scratch` knows what may have been left in the CRM, `ear` hears every
answer. The probes: `connection`, `writing`, `values`, `searching`, `identity`, `manners`. `samples`
finds field values that are like those of real events. What is found is a `finding`.

Neither Redis nor the command line is known here.
"""
