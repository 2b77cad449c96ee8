"""Syncs a source connector into a destination, as Fivetran's platform does.

The marks in docstrings say where a rule comes from: [O] observed on the wire with real sources,
[D] Fivetran's public documentation, [C] our choice where nothing public decides.
"""
