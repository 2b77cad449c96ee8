"""A Fivetran destination connector for SQL warehouses."""

__version__ = "0.1.0"
