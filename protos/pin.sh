#!/bin/sh
# Pins the official protos of a commit of Fivetran's SDK in protos/upstream.lock, from where build.sh
# takes them, provided that they compile to the same contract as the project's own.
set -eu
commit=${1:?usage: make protos COMMIT=<commit of fivetran_partner_sdk>}
cd "$(dirname "$0")/.."

files="common.proto connector_sdk.proto destination_sdk.proto"
mkdir -p protos/upstream
for name in $files; do
    curl --fail --silent --show-error --location --output "protos/upstream/$name" \
        "${PROTOS_URL:-https://raw.githubusercontent.com/fivetran/fivetran_partner_sdk}/$commit/$name"
done
{
    echo "commit $commit"
    (cd protos/upstream && sha256sum $files)
} > protos/upstream.lock
./build.sh
"${PYTHON:-python3}" -m pytest --quiet tests/test_wire_contract.py || {
    rm protos/upstream.lock
    ./build.sh
    echo "the protos of $commit are another contract than the project's: not pinned" >&2
    exit 1
}
