"""The part of Fivetran's REST API that operates destinations and connections, over real syncs."""
