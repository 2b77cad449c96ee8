"""A source connector to try the platform with: a small shop, which changes from sync to sync.

`python -m local_platform.demo.shop PORT`. Its form has a field of every kind; its password is "tea".
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import grpc

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from destination.sdk import connector_sdk_pb2_grpc as services

PASSWORD = "tea"  # noqa: S105 - the form says so
BATCH = 100
MANY = 1000
"""More orders than these are sent as fast as they go."""
SIZES = {
    "small": (400, "Small", "A few hundred orders, sent slowly enough to watch."),
    "medium": (5_000, "Medium", "5,000 orders, as fast as they come."),
    "large": (1_000_000, "Large", "A million orders."),
}
NAMES = (
    "Ada",
    "Grace",
    "Edsger",
    "Barbara",
    "Donald",
    "Radia",
    "Alan",
    "Margaret",
    "Ken",
    "Frances",
)
CITIES = ("Lisbon", "Oslo", "Kyoto", "Quito", "Accra", "Lima", "Turin", "Hanoi")
PRODUCTS = ("Tea", "Coffee", "Cocoa", "Mate", "Lemonade", "Rooibos")
OPENED = datetime(2026, 1, 1, tzinfo=UTC)
TABLES: dict[str, dict[str, int]] = {
    "customers": {
        "id": common.LONG, "name": common.STRING, "email": common.STRING, "city": common.STRING,
        "loyal": common.BOOLEAN,
    },
    "products": {"id": common.LONG, "name": common.STRING, "price": common.DECIMAL},
    "orders": {
        "id": common.LONG, "customerId": common.LONG, "productId": common.LONG,
        "quantity": common.INT, "orderedAt": common.UTC_DATETIME, "note": common.STRING,
    },
    "visits": {},
}  # fmt: skip
"""The tables and the types of their columns; the first is the key."""
FIELDS: dict[int, str] = {
    common.LONG: "long", common.INT: "int", common.DECIMAL: "decimal", common.BOOLEAN: "bool",
    common.UTC_DATETIME: "utc_datetime",
}  # fmt: skip
"""The fields of a value of the wire, by type; any other is text."""


def form() -> common.ConfigurationFormResponse:
    """The setup form."""
    sizes = [
        common.DescriptiveDropDownField(value=value, label=label, description=description)
        for value, (_, label, description) in SIZES.items()
    ]
    visits = common.FormField(
        name="visits_fields",
        conditional_fields=common.ConditionalFields(
            condition=common.VisibilityCondition(condition_field="visits", bool_value=True),
            fields=[
                common.FormField(
                    name="visits_each_sync", label="Visits each sync", default_value="20",
                    description="They have no key, and get one from what they hold.",
                    text_field=common.PlainText, required=True,
                )
            ],
        ),
    )  # fmt: skip
    return common.ConfigurationFormResponse(
        table_selection_supported=True,
        fields=[
            common.FormField(
                name="shop", label="Shop", required=True, placeholder="corner-shop",
                description="The name of your shop, as in its address.", text_field=common.PlainText,
            ),
            common.FormField(
                name="password", label="Password", required=True, text_field=common.Password,
                description=f'The password of every sample shop is "{PASSWORD}".',
            ),
            common.FormField(
                name="size", label="Size", default_value="small",
                description="How much the first sync brings.",
                descriptive_dropdown_fields=common.DescriptiveDropDownFields(
                    descriptive_dropdown_field=sizes
                ),
            ),
            common.FormField(
                name="currency", label="Currency", default_value="EUR",
                dropdown_field=common.DropdownField(dropdown_field=["EUR", "JPY", "USD"]),
            ),
            common.FormField(
                name="visits", label="Visits of the site", toggle_field=common.ToggleField(),
                description="A table of who looked at what.",
            ),
            visits,
            common.FormField(
                name="price_list", label="Price list",
                description="A CSV file of names and prices, instead of the shop's own.",
                upload_field=common.UploadField(allowed_file_type=[".csv"], max_file_size_bytes=65536),
            ),
        ],
        tests=[
            common.ConfigurationTest(name="reach", label="Reaching the shop"),
            common.ConfigurationTest(name="login", label="Logging in"),
        ],
    )  # fmt: skip


class Shop(services.SourceConnectorServicer):
    """The connector."""

    def ConfigurationForm(
        self, request: common.ConfigurationFormRequest, context: grpc.ServicerContext
    ) -> common.ConfigurationFormResponse:
        return form()

    def Test(
        self, request: common.TestRequest, context: grpc.ServicerContext
    ) -> common.TestResponse:
        if request.name == "login" and request.configuration.get("password") != PASSWORD:
            return common.TestResponse(
                failure=f'The password is wrong. Enter "{PASSWORD}", and save and test again.'
            )
        return common.TestResponse(success=True)

    def Schema(
        self, request: sdk.SchemaRequest, context: grpc.ServicerContext
    ) -> sdk.SchemaResponse:
        tables = [_table(name, kinds) for name, kinds in TABLES.items()]
        if request.configuration.get("visits") != "true":
            tables.pop()
        return sdk.SchemaResponse(without_schema=common.TableList(tables=tables))

    def Update(
        self, request: sdk.UpdateRequest, context: grpc.ServicerContext
    ) -> Iterator[sdk.UpdateResponse]:
        count = json.loads(request.state_json or "{}").get("syncs", 0)
        yield from _first(request.configuration) if count == 0 else _later(count)
        if request.configuration.get("visits") == "true":
            yield from _batches(
                _visits(count, int(request.configuration["visits_each_sync"])), slow=True
            )
        yield sdk.UpdateResponse(
            checkpoint=sdk.Checkpoint(state_json=json.dumps({"syncs": count + 1}))
        )


def _table(name: str, kinds: dict[str, int]) -> common.Table:
    columns = [
        common.Column(name=column, type=common.DataType.Name(kind), primary_key=not number)
        for number, (column, kind) in enumerate(kinds.items())
    ]
    for column in columns:
        if column.type == common.DECIMAL:
            column.params.decimal.precision, column.params.decimal.scale = 8, 2
    return common.Table(name=name, columns=columns)


def _first(configuration: Any) -> Iterator[sdk.UpdateResponse]:
    """All that the shop has."""
    orders, *_ = SIZES[configuration.get("size", "small")]
    if configuration.get("price_list"):
        yield sdk.UpdateResponse(
            warning=common.Warning(message="prices are taken from the price list")
        )
    customers = [_customer(number) for number in range(1, len(NAMES) + 1)]
    products = [_product(number) for number in range(1, len(PRODUCTS) + 1)]
    yield from _batches(iter([*customers, *products]))
    yield from _batches((_order(number) for number in range(1, orders + 1)), slow=orders <= MANY)


def _later(count: int) -> Iterator[sdk.UpdateResponse]:
    """What changed: somebody moved and somebody left, a price, new orders; products get an origin."""
    chance = random.Random(count)  # noqa: S311
    moved, product = chance.randint(1, len(NAMES)), chance.randint(1, len(PRODUCTS))
    left = (moved + count) % len(NAMES) + 1
    changes = [
        _record(
            "customers", {"id": moved, "city": CITIES[(moved + count) % len(CITIES)]}, common.UPDATE
        ),
        _record(
            "products",
            {"id": product, "price": f"{2 + count / 4:.2f}", "origin": "Assam"},
            common.UPDATE,
        ),
        _record("orders", {"id": count, "note": "delivered <b>late</b>"}, common.UPDATE),
    ]
    if left != moved:
        changes.append(_record("customers", {"id": left}, common.DELETE))
    start = 10_000_000 * count
    changes += [_order(start + number) for number in range(20)]
    yield from _batches(iter(changes), slow=True)


def _customer(number: int) -> sdk.Record:
    name = NAMES[number - 1]
    return _record(
        "customers",
        {
            "id": number, "name": name, "email": f"{name.lower()}@example.com",
            "city": CITIES[number % len(CITIES)], "loyal": number % 3 == 0,
        },
    )  # fmt: skip


def _product(number: int) -> sdk.Record:
    return _record(
        "products", {"id": number, "name": PRODUCTS[number - 1], "price": f"{1.5 + number / 2:.2f}"}
    )


def _order(number: int) -> sdk.Record:
    return _record(
        "orders",
        {
            "id": number, "customerId": number % len(NAMES) + 1,
            "productId": number % len(PRODUCTS) + 1, "quantity": number % 5 + 1,
            "orderedAt": OPENED + timedelta(minutes=number % 500_000),
            "note": "<b>fragile</b>" if number % 50 == 0 else None,
        },
    )  # fmt: skip


def _visits(count: int, each: int) -> Iterator[sdk.Record]:
    for number in range(each):
        page = PRODUCTS[number % len(PRODUCTS)].lower()
        yield _record(
            "visits",
            {
                "visitor": NAMES[number % len(NAMES)],
                "page": f"/{page}",
                "visit": count * each + number,
            },
        )


def _record(table: str, values: dict[str, Any], kind: int = common.UPSERT) -> sdk.Record:
    kinds = TABLES[table]
    data = {name: _value(value, kinds.get(name)) for name, value in values.items()}
    return sdk.Record(table_name=table, type=common.RecordType.Name(kind), data=data)


def _value(value: Any, kind: int | None) -> common.ValueType:
    if value is None:
        return common.ValueType(null=True)
    name = FIELDS.get(kind or 0, "long" if isinstance(value, int) else "string")
    return common.ValueType(**{name: value})


def _batches(records: Iterator[sdk.Record], *, slow: bool = False) -> Iterator[sdk.UpdateResponse]:
    most = BATCH // 10 if slow else BATCH
    while batch := list(islice(records, most)):
        yield sdk.UpdateResponse(records=sdk.Records(records=batch))
        if slow:
            time.sleep(0.1)


def main(port: str) -> None:
    """Serve until the process is ended."""
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    services.add_SourceConnectorServicer_to_server(Shop(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
