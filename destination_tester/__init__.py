"""The other side: what Fivetran does to a destination connector, for tests and demonstrations.

Imports nothing from `destination` but the generated wire code, so that a mistake in one is not a
mistake in both.
"""
