"""Fivetran's platform on one's own machine, for developing and testing connectors.

Nothing imports it; it imports `destination_tester` and the generated wire code.
"""
