"""A Fivetran destination connector for SQL warehouses."""

__version__ = "0.2.0"
