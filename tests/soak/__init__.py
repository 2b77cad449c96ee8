"""Minutes of mixed calls under random faults, then tables beside a model: `make soak`.

A PostgreSQL of its own lies behind a proxy; the connector is a process of its own. Workers send
batches, each until it succeeds, as Fivetran does, among them small ones for 200 tables of 5 to 600
columns; meanwhile lines are cut, stalled and slowed, sessions ended, statements cancelled, tables
locked, and the server crashes. In the end every table must hold what the model holds, and the
connector's memory, threads and connections must not have grown. With `--citus` it loads a cluster, of
which each node may crash; the PostgreSQL that is installed must have that extension.
"""
