"""What a transaction on a cluster sets besides what one on a single server does.

Workers have settings of their own. A command that sets one until the transaction's end is handed on to
them while `citus.propagate_set_commands` says so; a function's call is not. What is handed on is the
whole message that the command stands in, once for each such command in it. So that setting is the last
but one of a message of settings alone, and all reach a worker with the first statement that does.
"""

from __future__ import annotations

from destination.warehouse.postgres.contract import Setting

EXTENSION = "citus"
"""Where it is in the database, the server is a coordinator."""

SETTINGS = (
    Setting("client_min_messages", "warning", "a worker that misses a commit would not be noticed"),
    Setting("plan_cache_mode", "auto", "statements with parameters could not be planned"),
    Setting("citus.enable_ddl_propagation", "on", "workers would not learn of a table's changes"),
    Setting("citus.multi_shard_modify_mode", "parallel", "shards would be changed one by one"),
    Setting(
        "citus.select_opens_transaction_block", "on", "a query could miss what was just written"
    ),
    Setting("citus.local_table_join_policy", "auto", "staged rows could not be joined"),
    Setting("citus.max_intermediate_result_size", "-1", "a large batch would be refused"),
    Setting("citus.propagate_set_commands", "local", "workers would keep their own settings"),
    Setting("citus.limit_clause_row_fetch_count", "-1", "a query with a limit could miss rows"),
)
